// From logits to words.

/** Probabilities; stable for large logits. */
export function softmax(logits) {
  const values = Array.from(logits, Number);
  const largest = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - largest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

/** The `k` most probable classes as `{index, label, probability}`; the lower index wins a tie. */
export function topK(probabilities, k, labels = []) {
  return probabilities
    .map((probability, index) => ({ index, label: labels[index] ?? `class ${index}`, probability }))
    .sort((a, b) => b.probability - a.probability || a.index - b.index)
    .slice(0, k);
}
