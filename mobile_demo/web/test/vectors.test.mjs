// Reading safetensors, and comparing outputs.

import assert from "node:assert/strict";
import { test } from "node:test";

import { compare, maxAbs, readSafetensors, withPrefix } from "../src/vectors.mjs";

function safetensors(header, body) {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const buffer = new ArrayBuffer(8 + text.length + body.byteLength);
  new DataView(buffer).setBigUint64(0, BigInt(text.length), true);
  new Uint8Array(buffer).set(text, 8);
  new Uint8Array(buffer).set(new Uint8Array(body.buffer), 8 + text.length);
  return buffer;
}

const entry = (changes = {}) => ({ dtype: "F32", shape: [2, 1], data_offsets: [0, 8], ...changes });

test("tensors are read by name", () => {
  const body = new Float32Array([1.5, -2]);
  const tensors = readSafetensors(safetensors({ __metadata__: { a: "b" }, "input.x": entry() }, body));
  assert.deepEqual(withPrefix(tensors, "input.").x, { shape: [2, 1], dtype: "float32", data: body });
});

test("a file that is not what it says is refused", () => {
  const body = new Float32Array([1, 2]);
  assert.throws(() => readSafetensors(new ArrayBuffer(4)), /too short/);
  assert.throws(() => readSafetensors(safetensors({ x: entry() }, body).slice(0, 20)), /shorter than its header/);
  assert.throws(() => readSafetensors(safetensors({ x: entry({ data_offsets: [0, 16] }) }, body)), /does not fit/);
  assert.throws(() => readSafetensors(safetensors({ x: entry({ shape: [3, 1] }) }, body)), /does not fit/);
  assert.throws(() => readSafetensors(safetensors({ x: entry({ dtype: "F8" }) }, body)), /type F8/);
});

test("differences are the largest, and nothing passes by being no number", () => {
  assert.equal(maxAbs([1, 2], [1, 2.5]), 0.5);
  assert.equal(maxAbs([1], [1, 2]), Infinity);
  assert.equal(maxAbs([1, 0], [NaN, 0]), Infinity);
});

test("every promised output is compared", () => {
  const expected = { logits: { data: [1, 2] }, features: { data: [0] } };
  const results = compare(expected, { logits: { data: [1, 2.25] } }, { logits: 0.5, features: 1 });
  assert.deepEqual(results.map((result) => result.passed), [true, false]);
});
