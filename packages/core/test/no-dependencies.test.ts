/** Core runs in a browser: its source imports nothing but itself, and uses nothing that only Node has. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const SOURCE = new URL("../src/", import.meta.url);
const FILES = readdirSync(SOURCE, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
  .map((file) => [file, readFileSync(new URL(file, SOURCE), "utf8")] as const);

/** What a file imports, statically, for types or dynamically, and what it exports from elsewhere. */
function imports(source: string): string[] {
  const pattern = /\b(?:from|import)\s*\(?\s*["']([^"']+)["']/g;
  return [...source.matchAll(pattern)].map((match) => match[1]!);
}

/** The source without comments. */
function codeOf(source: string): string {
  return source.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/\/\/.*$/gm, "");
}

describe("the source of core", () => {
  it("is found", () => {
    expect(FILES.map(([file]) => file)).toContain("index.ts");
    expect(imports(FILES.find(([file]) => file === "index.ts")![1]).length).toBeGreaterThan(10);
  });

  it.each(FILES)("%s imports only files of core", (_, source) => {
    for (const name of imports(source)) expect(name).toMatch(/^\.\.?\/[\w./-]+\.ts$/);
  });

  it.each(FILES)("%s uses no globals of Node", (_, source) => {
    expect(codeOf(source)).not.toMatch(/\b(?:process|Buffer|require|__dirname|setImmediate)\b\s*[.([]/);
  });
});
