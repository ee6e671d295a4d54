/**
 * Compiles assembly/ with AssemblyScript, with and without relaxed SIMD, and embeds both modules as text in
 * src/wasm/modules.generated.ts, so that Node and browsers load them alike and a clone runs without a build.
 *
 *   node packages/core/scripts/build-kernels.ts [--check]
 *
 * --check writes nothing and fails when the embedded modules are not what the sources give.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
export const GENERATED: string = join(PACKAGE, "src/wasm/modules.generated.ts");

const FLAGS = [
  "-O3",
  "--noAssert",
  "--runtime",
  "stub",
  "--importMemory",
  "--sharedMemory",
  "--initialMemory",
  "1",
  "--maximumMemory",
  "65536",
  "--enable",
  "simd",
  "--enable",
  "threads",
  "--enable",
  "bulk-memory",
];

/** The generated file's text. Deterministic for one version of AssemblyScript. */
export function generate(): string {
  const folder = mkdtempSync(join(tmpdir(), "sparseloom-kernels-"));
  try {
    const compile = (name: string, more: readonly string[]): string => {
      const out = join(folder, `${name}.wasm`);
      const asc = join(PACKAGE, "node_modules/.bin/asc");
      execFileSync(asc, ["assembly/index.ts", "-o", out, ...FLAGS, ...more], {
        cwd: PACKAGE,
        stdio: ["ignore", "inherit", "inherit"],
      });
      return readFileSync(out).toString("base64");
    };
    const constant = (name: string, text: string): string => `export const ${name}: string =\n  "${text}";\n`;
    return [
      "// Made by scripts/build-kernels.ts from assembly/; do not edit.\n",
      "/** The kernels with relaxed SIMD, as base64. */",
      constant("RELAXED_SIMD_MODULE", compile("relaxed", ["--enable", "relaxed-simd"])),
      "/** The kernels with plain SIMD only, as base64. */",
      constant("SIMD_MODULE", compile("simd", [])),
    ].join("\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (import.meta.main) {
  const text = generate();
  if (!process.argv.includes("--check")) writeFileSync(GENERATED, text);
  else if (readFileSync(GENERATED, "utf8") !== text) {
    throw new Error(
      "src/wasm/modules.generated.ts is not what assembly/ gives: run node packages/core/scripts/build-kernels.ts",
    );
  }
}
