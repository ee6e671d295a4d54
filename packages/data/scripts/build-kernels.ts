/**
 * Compiles assembly/ with AssemblyScript and embeds the module as text in src/gather.generated.ts, so that a clone
 * runs without a build.
 *
 *   node packages/data/scripts/build-kernels.ts [--check]
 *
 * --check writes nothing and fails when the embedded module is not what the source gives.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const GENERATED = join(PACKAGE, "src/gather.generated.ts");

const FLAGS = [
  "-O3",
  "--noAssert",
  "--runtime",
  "stub",
  "--importMemory",
  "--initialMemory",
  "1",
  "--maximumMemory",
  "65536",
  "--enable",
  "simd",
];

/** The generated file's text. Deterministic for one version of AssemblyScript. */
function generate(): string {
  const folder = mkdtempSync(join(tmpdir(), "sparseloom-kernels-"));
  try {
    const out = join(folder, "gather.wasm");
    execFileSync(join(PACKAGE, "node_modules/.bin/asc"), ["assembly/gather.ts", "-o", out, ...FLAGS], {
      cwd: PACKAGE,
      stdio: ["ignore", "inherit", "inherit"],
    });
    return [
      "// Made by scripts/build-kernels.ts from assembly/; do not edit.\n",
      "/** The row gathers, as base64. */",
      `export const GATHER_MODULE: string =\n  "${readFileSync(out).toString("base64")}";\n`,
    ].join("\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const text = generate();
if (!process.argv.includes("--check")) writeFileSync(GENERATED, text);
else if (readFileSync(GENERATED, "utf8") !== text) {
  throw new Error(
    "src/gather.generated.ts is not what assembly/ gives: run node packages/data/scripts/build-kernels.ts",
  );
}
