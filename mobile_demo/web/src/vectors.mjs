// The bundle's parity vectors: inputs and the outputs they must give on this device, in a safetensors file.

const READERS = { F32: [Float32Array, "float32"], I64: [BigInt64Array, "int64"], I32: [Int32Array, "int32"] };

/** Tensors by name: `{shape, dtype, data}`. Throws where the file is not what its header says. */
export function readSafetensors(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 8) throw new Error("the vectors file is too short");
  const headerLength = Number(view.getBigUint64(0, true));
  if (headerLength > buffer.byteLength - 8) throw new Error("the vectors file is shorter than its header says");
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, headerLength)));
  delete header.__metadata__;
  const start = 8 + headerLength;
  return Object.fromEntries(Object.entries(header).map(([name, entry]) => [name, tensor(buffer, start, name, entry)]));
}

function tensor(buffer, start, name, { dtype, shape, data_offsets: [from, to] }) {
  const [Reader, kind] = READERS[dtype] ?? [];
  if (!Reader) throw new Error(`tensor ${name} has the type ${dtype}, which this app does not read`);
  const count = shape.reduce((product, size) => product * size, 1);
  if (from < 0 || to > buffer.byteLength - start || to - from !== count * Reader.BYTES_PER_ELEMENT) {
    throw new Error(`tensor ${name} does not fit the vectors file`);
  }
  return { shape, dtype: kind, data: new Reader(buffer.slice(start + from, start + to)) };
}

/** The tensors whose names begin with `prefix`, without it. */
export function withPrefix(tensors, prefix) {
  const chosen = Object.entries(tensors).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(chosen.map(([name, value]) => [name.slice(prefix.length), value]));
}

/** The largest absolute difference; not-a-number counts as infinite, so that it cannot pass. */
export function maxAbs(expected, actual) {
  if (expected.length !== actual.length) return Infinity;
  let largest = 0;
  for (let index = 0; index < expected.length; index += 1) {
    const difference = Math.abs(Number(expected[index]) - Number(actual[index]));
    largest = Math.max(largest, Number.isNaN(difference) ? Infinity : difference);
  }
  return largest;
}

/** Compare outputs with what the vectors promise: `[{name, maxAbs, tolerance, passed}]`. */
export function compare(expected, actual, tolerance) {
  return Object.entries(expected).map(([name, { data }]) => {
    const difference = actual[name] ? maxAbs(data, actual[name].data) : Infinity;
    return { name, maxAbs: difference, tolerance: tolerance[name], passed: difference <= tolerance[name] };
  });
}
