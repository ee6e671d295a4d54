/** Packs each public package as it would be published, and checks the tarball with publint. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

const PUBLIC_PACKAGES = ["packages/core", "packages/data", "packages/interop", "apps/trainer"];

const folder = mkdtempSync(join(tmpdir(), "sparseloom-pack-"));
let faults = 0;
try {
  for (const path of PUBLIC_PACKAGES) {
    const before = new Set(readdirSync(folder));
    execFileSync("npx", ["--yes", "pnpm@12", "pack", "--pack-destination", folder], {
      cwd: path,
      stdio: ["ignore", "ignore", "inherit"],
    });
    const [tarball] = readdirSync(folder).filter((name) => !before.has(name));
    if (tarball === undefined) throw new Error(`${path}: pnpm pack made no tarball`);
    const bytes = readFileSync(join(folder, tarball));
    const { messages, pkg } = await publint({
      pack: { tarball: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) },
      strict: true,
    });
    for (const message of messages) process.stdout.write(`${path}: ${formatMessage(message, pkg ?? {})}\n`);
    faults += messages.length;
    process.stdout.write(
      `${tarball}: ${(bytes.byteLength / 1e3).toFixed(0)} kB, ${messages.length === 0 ? "ok" : `${messages.length} faults`}\n`,
    );
  }
} finally {
  rmSync(folder, { recursive: true });
}
if (faults > 0) process.exitCode = 1;
