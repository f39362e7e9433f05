// manifest.json of a bundle: checked, and reduced to what an image classifier needs.

const FORMAT = "edgetok.manifest/1";

/** A path that cannot leave the bundle; throws otherwise. */
export function insidePath(path) {
  const parts = String(path).split("/");
  if (/[\\:\u0000-\u001f<>"|?*%#]/.test(path) || parts.some((part) => ["", ".", ".."].includes(part))) {
    throw new Error(`the manifest names the path ${JSON.stringify(path)}, which may lead out of the bundle`);
  }
  return path;
}

/** The one classifier with one picture as its input; throws a sentence for people where there is none. */
export function imageClassifier(manifest) {
  if (manifest?.schema !== FORMAT) throw new Error(`this app reads ${FORMAT}, the bundle is ${manifest?.schema}`);
  const component = manifest.components.find((entry) => entry.role === "classifier");
  if (!component) throw new Error("the bundle has no classifier");
  if (!manifest.preprocessing) throw new Error("the bundle does not say how a picture becomes its input");
  const [input, ...others] = component.inputs;
  if (others.length || input.shape.length !== 4) throw new Error("the classifier's input is not one picture");
  if (input.dtype !== "float32") throw new Error(`the classifier's input is ${input.dtype}, not float32`);
  const output = component.outputs.find((entry) => entry.name === "logits") ?? component.outputs[0];
  return {
    name: manifest.model,
    component: component.name,
    file: insidePath(component.file),
    data: manifest.files.filter((entry) => entry.role === "weights").map((entry) => insidePath(entry.path)),
    input: input.name,
    shape: input.shape,
    output: output.name,
    labels: manifest.labels ?? [],
    preprocessing: manifest.preprocessing,
    vectors: manifest.vectors ? { ...manifest.vectors, file: insidePath(manifest.vectors.file) } : null,
    sha256: Object.fromEntries(manifest.files.map((entry) => [entry.path, entry.sha256])),
  };
}

/** The SHA-256 of bytes in lower-case hex. */
export async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
