// The page: open the bundle, classify a picture, check the device.

import * as ort from "onnxruntime-web";

import { fetchFile, openBundle } from "./bundle.mjs";
import { softmax, topK } from "./classify.mjs";
import { fromRgba, preprocess } from "./preprocess.mjs";
import { compare, readSafetensors, withPrefix } from "./vectors.mjs";

const find = (id) => document.getElementById(id);

ort.env.wasm.wasmPaths = new URL("../node_modules/onnxruntime-web/dist/", import.meta.url).href;
ort.env.wasm.numThreads = 1;

/** The pixels of a picture file, in the file's own colours and orientation. */
async function pixels(file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "none", colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return fromRgba(bitmap.width, bitmap.height, context.getImageData(0, 0, bitmap.width, bitmap.height).data);
}

function show(file, image) {
  const preview = find("preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.classList.toggle("small", image.width < 64);
  preview.hidden = false;
  find("prompt").hidden = true;
}

function showClasses(classes) {
  const items = classes.map(({ label, probability }) => {
    const item = document.createElement("li");
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = probability;
    const share = document.createElement("span");
    share.textContent = `${(100 * probability).toFixed(1)} %`;
    const name = document.createElement("span");
    name.textContent = label;
    item.append(name, share, bar);
    return item;
  });
  find("classes").replaceChildren(...items);
}

async function classify({ model, session }, file) {
  const image = await pixels(file);
  show(file, image);
  const { data, shape } = preprocess(image, model.preprocessing);
  const started = performance.now();
  const outputs = await session.run({ [model.input]: new ort.Tensor("float32", data, shape) });
  const milliseconds = performance.now() - started;
  showClasses(topK(softmax(outputs[model.output].data), 5, model.labels));
  find("timing").textContent = `${milliseconds.toFixed(1)} ms in onnxruntime-web (WebAssembly, one thread), once`;
}

async function check({ model, session, base }) {
  const { file, tolerance } = model.vectors;
  const tensors = readSafetensors(await fetchFile(base, file, model.sha256[file]));
  const inputs = Object.entries(withPrefix(tensors, "input."));
  const feeds = Object.fromEntries(inputs.map(([name, t]) => [name, new ort.Tensor(t.dtype, t.data, t.shape)]));
  return compare(withPrefix(tensors, "output."), await session.run(feeds), tolerance);
}

function showCheck(results) {
  const passed = results.length > 0 && results.every((result) => result.passed);
  const figures = results.map((r) => `${r.name}: largest difference ${r.maxAbs.toExponential(1)}, allowed ${r.tolerance}`);
  find("checked").className = passed ? "" : "failed";
  find("checked").textContent = `${passed ? "Passed" : "Failed"}. ${figures.join("; ")}.`;
}

function fail(error) {
  find("status").className = "failed";
  find("status").textContent = error.message;
}

async function start() {
  const base = new URL(new URLSearchParams(location.search).get("bundle") ?? "bundle/", location.href).href;
  const bundle = await openBundle(ort, base);
  find("model").textContent = bundle.model.name;
  find("status").textContent = "Ready. Pictures stay on this device.";
  find("picture").disabled = false;
  find("picture").addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (file) classify(bundle, file).catch(fail);
  });
  find("check").disabled = !bundle.model.vectors;
  find("check").addEventListener("click", () => check(bundle).then(showCheck).catch(fail));
}

start().catch(fail);
