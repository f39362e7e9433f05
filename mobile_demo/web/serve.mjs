// node serve.mjs BUNDLE [PORT]: the page and one bundle on http://localhost:8080.

import { createReadStream } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const PAGE = /^(index\.html|style\.css|src\/[\w.]+\.mjs|node_modules\/onnxruntime-web\/dist\/[\w.-]+)$/;
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/** The file a URL path stands for, or null: nothing outside the page and the bundle. */
export async function resolve(path, bundle) {
  let name;
  try {
    name = decodeURIComponent(path).replace(/^\/+/, "") || "index.html";
  } catch {
    return null;
  }
  const inBundle = name.startsWith("bundle/");
  if (!inBundle && !PAGE.test(name)) return null;
  const root = await realpath(inBundle ? bundle : HERE);
  const file = await realpath(join(root, inBundle ? name.slice("bundle/".length) : name)).catch(() => null);
  return file?.startsWith(root + sep) && (await stat(file)).isFile() ? file : null;
}

/** A server of the page and the bundle. */
export function serve(bundle) {
  return createServer(async (request, response) => {
    const file = await resolve(new URL(request.url, "http://localhost").pathname, bundle).catch(() => null);
    if (!file) {
      response.writeHead(404).end();
      return;
    }
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    response.writeHead(200, { "Content-Type": type, "X-Content-Type-Options": "nosniff" });
    createReadStream(file).pipe(response);
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [bundle, port = "8080"] = process.argv.slice(2);
  if (!bundle) {
    console.error("usage: node serve.mjs BUNDLE [PORT]");
    process.exit(2);
  }
  serve(bundle).listen(Number(port), "localhost", () => console.log(`http://localhost:${port}`));
}
