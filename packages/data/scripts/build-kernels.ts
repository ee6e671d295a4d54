/**
 * Compiles assembly/ with AssemblyScript and embeds the modules as text in src/, so that a clone runs without a
 * build.
 *
 *   node packages/data/scripts/build-kernels.ts [--check]
 *
 * --check writes nothing and fails when an embedded module is not what the source gives.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));

interface Module {
  readonly source: string;
  readonly generated: string;
  readonly constant: string;
  readonly what: string;
  readonly flags: readonly string[];
}

const MODULES: readonly Module[] = [
  {
    source: "assembly/gather.ts",
    generated: "src/gather.generated.ts",
    constant: "GATHER_MODULE",
    what: "The row gathers",
    flags: [],
  },
  {
    source: "assembly/generator.ts",
    generated: "src/synthetic/module.generated.ts",
    constant: "GENERATOR_MODULE",
    what: "The loops of synthetic corpora",
    flags: ["--sharedMemory", "--enable", "threads", "--enable", "bulk-memory"],
  },
];

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
function generate({ source, constant, what, flags }: Module): string {
  const folder = mkdtempSync(join(tmpdir(), "sparseloom-kernels-"));
  try {
    const out = join(folder, "module.wasm");
    execFileSync(join(PACKAGE, "node_modules/.bin/asc"), [source, "-o", out, ...FLAGS, ...flags], {
      cwd: PACKAGE,
      stdio: ["ignore", "inherit", "inherit"],
    });
    return [
      "// Made by scripts/build-kernels.ts from assembly/; do not edit.\n",
      `/** ${what}, as base64. */`,
      `export const ${constant}: string =\n  "${readFileSync(out).toString("base64")}";\n`,
    ].join("\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

for (const module of MODULES) {
  const text = generate(module);
  const path = join(PACKAGE, module.generated);
  if (!process.argv.includes("--check")) writeFileSync(path, text);
  else if (readFileSync(path, "utf8") !== text) {
    throw new Error(
      `${module.generated} is not what ${module.source} gives: run node packages/data/scripts/build-kernels.ts`,
    );
  }
}
