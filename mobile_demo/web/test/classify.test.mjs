// Probabilities and the order of classes.

import assert from "node:assert/strict";
import { test } from "node:test";

import { softmax, topK } from "../src/classify.mjs";

test("softmax sums to one and survives large logits", () => {
  const probabilities = softmax(new Float32Array([1000, 1001, -1000]));
  assert.ok(Math.abs(probabilities.reduce((sum, p) => sum + p, 0) - 1) < 1e-12);
  assert.ok(Math.abs(probabilities[1] - Math.E / (1 + Math.E)) < 1e-12);
});

test("topK sorts, labels, and gives ties to the lower index", () => {
  assert.deepEqual(topK([0.25, 0.5, 0.25], 2, ["a", "b"]), [
    { index: 1, label: "b", probability: 0.5 },
    { index: 0, label: "a", probability: 0.25 },
  ]);
  assert.equal(topK([0.1, 0.9], 1)[0].label, "class 1");
});
