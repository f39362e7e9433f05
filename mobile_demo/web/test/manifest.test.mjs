// A manifest is believed only where it describes an image classifier inside the bundle.

import assert from "node:assert/strict";
import { test } from "node:test";

import { imageClassifier, insidePath, sha256 } from "../src/manifest.mjs";

const manifest = (changes = {}) => ({
  schema: "edgetok.manifest/1",
  model: "digits",
  components: [
    {
      name: "model",
      role: "classifier",
      file: "model.onnx",
      inputs: [{ name: "pixel_values", dtype: "float32", shape: ["batch", 3, 32, 32] }],
      outputs: [{ name: "logits", dtype: "float32", shape: ["batch", 10] }],
    },
  ],
  preprocessing: { size: [32, 32], resample: "bicubic" },
  labels: ["0", "1"],
  vectors: { file: "vectors.safetensors", component: "model", samples: 2, tolerance: { logits: 1e-4 } },
  files: [
    { path: "model.onnx", sha256: "ab", bytes: 1, role: "model" },
    { path: "model.data", sha256: "cd", bytes: 1, role: "weights" },
  ],
  ...changes,
});

test("an image classifier is found", () => {
  const model = imageClassifier(manifest());
  assert.deepEqual([model.input, model.output, model.file], ["pixel_values", "logits", "model.onnx"]);
  assert.deepEqual(model.data, ["model.data"]);
  assert.equal(model.sha256["model.onnx"], "ab");
});

test("what is not one is refused with the reason", () => {
  assert.throws(() => imageClassifier(manifest({ schema: "edgetok.manifest/2" })), /reads edgetok.manifest\/1/);
  assert.throws(() => imageClassifier(null), /undefined/);
  assert.throws(() => imageClassifier(manifest({ components: [] })), /no classifier/);
  assert.throws(() => imageClassifier(manifest({ preprocessing: null })), /how a picture becomes/);
  const text = structuredClone(manifest().components);
  text[0].inputs[0] = { name: "input_ids", dtype: "int64", shape: ["batch", 128] };
  assert.throws(() => imageClassifier(manifest({ components: text })), /not one picture/);
});

test("paths stay inside the bundle", () => {
  assert.equal(insidePath("weights/model.data"), "weights/model.data");
  for (const path of ["../x", "/x", "a//b", "a/./b", "c:\\x", "https://example.org/x", "a?b", "a%2e%2e", ""]) {
    assert.throws(() => insidePath(path), /out of the bundle/, path);
  }
});

test("sha256 is the standard's", async () => {
  const expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  assert.equal(await sha256(new TextEncoder().encode("abc")), expected);
});
