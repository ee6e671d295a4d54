/**
 * Trains the same small model in Node and in a real browser, and compares the parameters' bytes: in a page with shared
 * memory (SIMD kernels, exact and screened), and in one without (reference kernels). Prints a line each. The page loads
 * the sources, their types stripped.
 *
 *   node packages/core/checks/browser.ts [path of a Chromium; default: the first of that name on PATH]
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { stripTypeScriptTypes } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, extname, join } from "node:path";
import { type Said, trainedBytes } from "./browser-page.ts";

const PACKAGE = new URL("../", import.meta.url);
/** Seconds that a page may take. */
const LIMIT = 60;

function findBrowser(): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const names = ["chromium", "chromium-browser", "google-chrome"];
  return folders
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find((path) => existsSync(path));
}

async function scriptAt(path: string): Promise<string> {
  return stripTypeScriptTypes(await readFile(new URL(`.${path}`, PACKAGE), "utf8"));
}

/** Serves the package and one page; `shared` pages may share memory. */
async function serve(
  shared: boolean,
  encoder: "exact" | "screened",
  said: (what: Said) => void,
): Promise<AsyncDisposable & { url: string }> {
  const isolation = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
  };
  const html = `<script type="module">
    import { report } from "/checks/browser-page.ts";
    report(${JSON.stringify(encoder)});
  </script>`;
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? "/").split("?")[0] as string;
    if (path === "/said") {
      const parts: Uint8Array[] = [];
      for await (const part of request) parts.push(part as Uint8Array);
      said(JSON.parse(Buffer.concat(parts).toString()) as Said);
      response.end();
      return;
    }
    const script = extname(path) === ".ts";
    const type = script ? "text/javascript" : "text/html";
    const body = script ? await scriptAt(path) : html;
    response.writeHead(200, { "content-type": type, ...(shared ? isolation : {}) });
    response.end(body);
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      response.writeHead(404);
      response.end(String(error));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Opens the page in a browser of its own and waits for what it says. */
async function inBrowser(browser: string, shared: boolean, encoder: "exact" | "screened"): Promise<Said> {
  const { promise, resolve, reject } = Promise.withResolvers<Said>();
  await using server = await serve(shared, encoder, resolve);
  const profile = mkdtempSync(join(tmpdir(), "sparseloom-browser-"));
  const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", `--user-data-dir=${profile}`];
  const child = spawn(browser, [...flags, server.url], { stdio: "ignore", detached: true });
  child.on("error", reject);
  const timer = setTimeout(() => reject(new Error(`the page said nothing for ${LIMIT} s`)), LIMIT * 1000);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    const gone = new Promise((left) => child.on("close", left));
    // Its children, too: a browser is many processes.
    if (child.pid !== undefined) process.kill(-child.pid);
    await gone;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

const browser = process.argv[2] ?? findBrowser();
if (browser === undefined) throw new Error("no Chromium on PATH: name one as the first argument");
const cases = [
  [true, "exact"],
  [true, "screened"],
  [false, "exact"],
] as const;
const expected = trainedBytes("exact");
for (const [shared, encoder] of cases) {
  const said = await inBrowser(browser, shared, encoder);
  const same = said.digest === expected.digest;
  const memory = shared ? "shared memory" : "no shared memory";
  const verdict = said.error ?? (same ? "same bytes as in Node" : "OTHER BYTES");
  process.stdout.write(`${memory}, ${encoder}: kernels ${said.kernels}: ${verdict}\n`);
  const slow = shared && said.kernels === "reference";
  if (!same || slow) process.exitCode = 1;
}
