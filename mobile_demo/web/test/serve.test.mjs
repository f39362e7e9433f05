// The little server gives the page and the bundle, and nothing else.

import assert from "node:assert/strict";
import { mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { resolve, serve } from "../serve.mjs";

const bundle = mkdtempSync(join(tmpdir(), "bundle-"));
writeFileSync(join(bundle, "manifest.json"), "{}");
symlinkSync("/etc/hosts", join(bundle, "link"));

test("page and bundle are found", async () => {
  assert.match(await resolve("/", bundle), /index\.html$/);
  assert.match(await resolve("/src/app.mjs", bundle), /app\.mjs$/);
  assert.match(await resolve("/bundle/manifest.json", bundle), /manifest\.json$/);
});

test("nothing else is", async () => {
  const outside = ["/serve.mjs", "/package.json", "/bundle/", "/bundle/link", "/bundle/../bundle", "/%2e%2e/README.md"];
  for (const path of [...outside, "/bundle/..%2f..%2fetc/hosts", "/src/..%2fserve.mjs", "/%ff"]) {
    assert.equal(await resolve(path, bundle), null, path);
  }
});

test("over HTTP", async () => {
  const server = serve(bundle).listen(0, "localhost");
  await new Promise((ready) => server.once("listening", ready));
  const base = `http://localhost:${server.address().port}`;
  const page = await fetch(`${base}/`);
  assert.match(await page.text(), /<title>edgetok/);
  assert.equal(page.headers.get("content-type"), "text/html; charset=utf-8");
  assert.equal((await fetch(`${base}/bundle/gone`)).status, 404);
  server.close();
  server.closeAllConnections();
});
