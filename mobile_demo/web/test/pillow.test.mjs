// Resizing and preprocessing give what Pillow gives (pillow.json, written by pillow_vectors.py).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { fromRgba, preprocess } from "../src/preprocess.mjs";
import { resize } from "../src/resize.mjs";

const cases = JSON.parse(readFileSync(new URL("pillow.json", import.meta.url), "utf8"));
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const image = ({ width, height, data }) => ({ width, height, channels: 3, data: bytes(data) });

for (const { resample, to } of cases.resize) {
  test(`${resample} to ${to.width}x${to.height} is Pillow's, byte for byte`, () => {
    const resized = resize(image(cases.image), to.width, to.height, resample);
    assert.deepEqual(resized.data, bytes(to.data));
  });
}

for (const { settings, shape, data } of cases.preprocess) {
  test(`preprocessing ${settings.channel_order} ${settings.resample}`, () => {
    const out = preprocess(image(cases.image), settings);
    assert.deepEqual(out.shape, shape);
    const expected = new Float32Array(bytes(data).buffer);
    // One float32 rounding: the same arithmetic in double precision on both sides.
    out.data.forEach((value, index) => assert.ok(Math.abs(value - expected[index]) <= 1e-6));
  });
}

test("an unknown filter is an error", () => {
  assert.throws(() => resize(image(cases.image), 3, 3, "spline"), /unknown resampling spline/);
});

test("alpha is ignored", () => {
  const { data } = fromRgba(2, 1, new Uint8ClampedArray([1, 2, 3, 4, 5, 6, 7, 8]));
  assert.deepEqual(data, new Uint8Array([1, 2, 3, 5, 6, 7]));
});
