// A bundle over HTTP: manifest, model and vectors, each checked against its SHA-256 where the browser can.

import { imageClassifier, sha256 } from "./manifest.mjs";

/** Fetch a file of the bundle as an ArrayBuffer; throws where it is missing or changed. */
export async function fetchFile(base, path, expected) {
  const answer = await fetch(base + path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${answer.statusText}`);
  const bytes = await answer.arrayBuffer();
  // crypto.subtle exists on https and localhost alone.
  if (expected && globalThis.crypto?.subtle && (await sha256(bytes)) !== expected) {
    throw new Error(`${path} is not the file that the manifest describes`);
  }
  return bytes;
}

/** The classifier in a bundle, and a runtime session on its model. */
export async function openBundle(ort, base) {
  const manifest = JSON.parse(new TextDecoder().decode(await fetchFile(base, "manifest.json")));
  const model = imageClassifier(manifest);
  const bytes = await fetchFile(base, model.file, model.sha256[model.file]);
  const fetchData = async (path) => ({ path, data: new Uint8Array(await fetchFile(base, path, model.sha256[path])) });
  const externalData = await Promise.all(model.data.map(fetchData));
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], externalData });
  return { model, session, base };
}
