// Resampling that gives the very bytes Pillow gives: separable, antialiased, 8-bit fixed point between the passes.

const PRECISION_BITS = 22;
const ONE = 2 ** PRECISION_BITS;

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

const FILTERS = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: { support: 1, weight: (x) => (Math.abs(x) >= 1 ? 0 : sinc(x) * (0.54 + 0.46 * Math.cos(Math.PI * x))) },
  bicubic: { support: 2, weight: bicubic },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

function bicubic(x) {
  const a = -0.5;
  const t = Math.abs(x);
  if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  if (t < 2) return (((t - 5) * t + 8) * t - 4) * a;
  return 0;
}

/** For each of `to` outputs: the first input it reads and its fixed-point weights. */
export function coefficients(from, to, filter) {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = filter.support * stretch;
  return Array.from({ length: to }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(from, Math.trunc(centre + support + 0.5));
    const raw = Array.from({ length: last - first }, (_, k) => filter.weight((k + first - centre + 0.5) / stretch));
    const total = raw.reduce((sum, weight) => sum + weight, 0);
    const weights = raw.map((weight) => {
      const scaled = (total === 0 ? weight : weight / total) * ONE;
      return Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    });
    return { first, weights };
  });
}

const clip = (sum) => Math.min(255, Math.max(0, Math.floor(sum / ONE)));

/** One pass along lines: `stride` between neighbours of a line, `lines` gives each line's start in and out. */
function pass(source, target, taps, lines, stride, channels) {
  for (const [from, to] of lines) {
    taps.forEach(({ first, weights }, index) => {
      for (let channel = 0; channel < channels; channel += 1) {
        let sum = ONE / 2;
        for (let k = 0; k < weights.length; k += 1) sum += source[from + (first + k) * stride + channel] * weights[k];
        target[to + index * stride + channel] = clip(sum);
      }
    });
  }
}

/** Where each output of `nearest` reads; the sum is accumulated, as Pillow does, for it decides exact halves. */
function sampled(from, to) {
  let position = (from / to) * 0.5;
  return Array.from({ length: to }, () => {
    const index = Math.trunc(position);
    position += from / to;
    return index;
  });
}

function nearest({ width, height, channels, data }, newWidth, newHeight) {
  const out = new Uint8Array(newWidth * newHeight * channels);
  const columns = sampled(width, newWidth);
  sampled(height, newHeight).forEach((row, y) => {
    columns.forEach((column, x) => {
      const from = (row * width + column) * channels;
      out.set(data.subarray(from, from + channels), (y * newWidth + x) * channels);
    });
  });
  return { width: newWidth, height: newHeight, channels, data: out };
}

function horizontal({ width, height, channels, data }, newWidth, filter) {
  const out = new Uint8Array(newWidth * height * channels);
  const lines = Array.from({ length: height }, (_, y) => [y * width * channels, y * newWidth * channels]);
  pass(data, out, coefficients(width, newWidth, filter), lines, channels, channels);
  return { width: newWidth, height, channels, data: out };
}

function vertical({ width, height, channels, data }, newHeight, filter) {
  const out = new Uint8Array(width * newHeight * channels);
  const lines = Array.from({ length: width }, (_, x) => [x * channels, x * channels]);
  pass(data, out, coefficients(height, newHeight, filter), lines, width * channels, channels);
  return { width, height: newHeight, channels, data: out };
}

/**
 * Resize an image `{width, height, channels, data: Uint8Array (rows of pixels)}`.
 * `resample` is nearest, box, bilinear, hamming, bicubic or lanczos.
 */
export function resize(image, width, height, resample) {
  if (resample === "nearest") return nearest(image, width, height);
  const filter = FILTERS[resample];
  if (!filter) throw new Error(`unknown resampling ${resample}`);
  const narrowed = image.width === width ? image : horizontal(image, width, filter);
  return narrowed.height === height ? narrowed : vertical(narrowed, height, filter);
}
