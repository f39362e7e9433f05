// From a picture to the model's input, as the manifest's `preprocessing` says.

import { resize } from "./resize.mjs";

/** RGBA bytes, as a canvas gives them, to an RGB image. Alpha is ignored. */
export function fromRgba(width, height, rgba) {
  const data = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    for (let channel = 0; channel < 3; channel += 1) data[pixel * 3 + channel] = rgba[pixel * 4 + channel];
  }
  return { width, height, channels: 3, data };
}

/** RGB to the manifest's channel order: "RGB", "BGR" or "L" (ITU-R 601-2 luma in fixed point, as Pillow has it). */
export function reorder(image, order) {
  if (order === "RGB") return image;
  const pixels = image.width * image.height;
  const channels = order === "L" ? 1 : 3;
  const data = new Uint8Array(pixels * channels);
  for (let pixel = 0; pixel < pixels; pixel += 1) {
    const [r, g, b] = image.data.subarray(pixel * 3, pixel * 3 + 3);
    if (order === "L") data[pixel] = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
    else data.set([b, g, r], pixel * 3);
  }
  return { ...image, channels, data };
}

/** The size after resizing, `[height, width]`. */
export function resizedTo(image, { size, shortest_edge: edge }) {
  if (size) return size;
  if (!edge) return [image.height, image.width];
  const long = Math.trunc((edge * Math.max(image.width, image.height)) / Math.min(image.width, image.height));
  return image.width <= image.height ? [long, edge] : [edge, long];
}

/** Cut `[height, width]` from the centre; what lies outside the image is black. */
export function centreCrop(image, [height, width]) {
  const top = Math.floor((image.height - height) / 2);
  const left = Math.floor((image.width - width) / 2);
  const data = new Uint8Array(width * height * image.channels);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const [row, column] = [y + top, x + left];
      if (row < 0 || column < 0 || row >= image.height || column >= image.width) continue;
      const from = (row * image.width + column) * image.channels;
      data.set(image.data.subarray(from, from + image.channels), (y * width + x) * image.channels);
    }
  }
  return { width, height, channels: image.channels, data };
}

/** Bytes to float32 planes: `(value * rescale - mean) / std`, channels first. */
export function normalise(image, { rescale, mean, std }) {
  const pixels = image.width * image.height;
  const out = new Float32Array(pixels * image.channels);
  for (let channel = 0; channel < image.channels; channel += 1) {
    for (let pixel = 0; pixel < pixels; pixel += 1) {
      const value = image.data[pixel * image.channels + channel] * rescale;
      out[channel * pixels + pixel] = (value - mean[channel % mean.length]) / std[channel % std.length];
    }
  }
  return out;
}

/** The whole way: `{data: Float32Array, shape: [1, channels, height, width]}`. */
export function preprocess(image, settings) {
  const ordered = reorder(image, settings.channel_order);
  const [height, width] = resizedTo(ordered, settings);
  const resized = resize(ordered, width, height, settings.resample);
  const cropped = settings.crop ? centreCrop(resized, settings.crop) : resized;
  return { data: normalise(cropped, settings), shape: [1, cropped.channels, cropped.height, cropped.width] };
}
