import { mkdir, writeFile } from "node:fs/promises";
import { relative } from "node:path";
import { describe, expect, it } from "vitest";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { resolvePaths } from "./paths.ts";

const path = useTemporaryFolder();

async function touch(...names: readonly string[]): Promise<void> {
  for (const name of names) await writeFile(path(name), "");
}

describe("resolvePaths", () => {
  it("orders by path bytes, and takes a file that is named twice once", async () => {
    await touch("b", "B", "a10", "a2", "ä");
    const again = relative(process.cwd(), path("a2"));
    expect(await resolvePaths([path("b"), path("*"), again, path("a2")])).toEqual(
      ["B", "a10", "a2", "b", "ä"].map(path),
    );
  });

  it("takes a file whose name looks like a pattern", async () => {
    await touch("x[1].arrow");
    expect(await resolvePaths([path("x[1].arrow")])).toEqual([path("x[1].arrow")]);
  });

  it("does not take folders, unfinished files and statistics from a pattern", async () => {
    await mkdir(path("p-folder"));
    await touch("p-1.arrow", "p-2.arrow.partial", "p-1.arrow.sparseloom.json");
    expect(await resolvePaths([path("p-*")])).toEqual([path("p-1.arrow")]);
  });

  it("takes the Arrow files of a folder, by their names or first bytes, and nothing else", async () => {
    await mkdir(path("folder"));
    await mkdir(path("folder/deeper"));
    await touch(
      "folder/b.arrow",
      "folder/notes.txt",
      "folder/.hidden.arrow",
      "folder/b.arrow.sparseloom.json",
    );
    await writeFile(path("folder/a.bin"), "ARROW1\0\0 and so on");
    await writeFile(path("folder/c"), Uint8Array.of(255, 255, 255, 255, 16, 1, 0, 0, 16));
    await writeFile(path("folder/d"), Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255));
    const expected = ["folder/a.bin", "folder/b.arrow", "folder/c"].map(path);
    expect(await resolvePaths([path("folder")])).toEqual(expected);
    expect(await resolvePaths([path("folder/*.arrow"), path("folder/")])).toEqual(expected);
  });

  it("refuses a folder without Arrow files, and a cache whose writing did not finish", async () => {
    await mkdir(path("bare/.tmp_shards"), { recursive: true });
    await mkdir(path("bare/none"));
    await expect(resolvePaths([path("bare/none")])).rejects.toThrow("holds no Arrow files");
    await expect(resolvePaths([path("bare")])).rejects.toThrow("did not finish");
    await expect(resolvePaths([path("bare/*")])).rejects.toMatchObject({ kind: "not-found" });
  });
});

describe("resolvePaths, of a folder of save_to_disk,", () => {
  const dataset = async (name: string, state: unknown, ...files: readonly string[]): Promise<string> => {
    await mkdir(path(name), { recursive: true });
    await writeFile(path(`${name}/state.json`), typeof state === "string" ? state : JSON.stringify(state));
    await touch(...files.map((file) => `${name}/${file}`));
    return path(name);
  };
  const files = (...names: readonly string[]): unknown => ({
    _data_files: names.map((filename) => ({ filename })),
  });

  it("takes the files that state.json lists, also by a glob, and no index of a shuffled dataset", async () => {
    await dataset(
      "d1",
      files("x-1.arrow", "x-0.arrow"),
      "x-0.arrow",
      "x-1.arrow",
      "y.arrow",
      "cache-0f.arrow",
    );
    const listed = [path("d1/x-0.arrow"), path("d1/x-1.arrow")];
    expect(await resolvePaths([path("d1")])).toEqual(listed);
    expect(await resolvePaths([path("d*")])).toEqual(listed);
    expect(await resolvePaths([path("d1/*.arrow")])).toEqual([...listed, path("d1/y.arrow")]);
    expect(await resolvePaths([path("d1/cache-0f.arrow")])).toEqual([path("d1/cache-0f.arrow")]);
  });

  it("asks for one of several splits, and takes the only one", async () => {
    await dataset("dict/train", files("t.arrow"), "t.arrow");
    await dataset("dict/test", files("u.arrow"), "u.arrow");
    await writeFile(path("dict/dataset_dict.json"), '{"splits": ["train", "test"]}');
    const refused = resolvePaths([path("dict")]);
    await expect(refused).rejects.toMatchObject({ kind: "unsupported", path: path("dict") });
    await expect(refused).rejects.toThrow(`splits train, test; name one, for example ${path("dict/train")}`);
    expect(await resolvePaths([path("dict/test")])).toEqual([path("dict/test/u.arrow")]);
    await writeFile(path("dict/dataset_dict.json"), '{"splits": ["train"]}');
    expect(await resolvePaths([path("dict")])).toEqual([path("dict/train/t.arrow")]);
  });

  it("refuses what does not fit: absent files, files elsewhere, other JSON", async () => {
    const refusal = async (state: unknown): Promise<unknown> =>
      resolvePaths([await dataset("bad", state, "a.arrow")]).then(String, (error: unknown) => error);
    expect(await refusal(files("a.arrow", "b.arrow"))).toMatchObject({ kind: "not-found" });
    expect(String(await refusal(files("b.arrow")))).toContain(
      "names the data file b.arrow, which is not there",
    );
    expect(await refusal(files("../bad/a.arrow"))).toMatchObject({ kind: "malformed" });
    expect(await refusal(files(".."))).toMatchObject({ kind: "malformed" });
    expect(await refusal(files())).toMatchObject({ kind: "empty" });
    for (const state of ["{", "[]", "{}", { _data_files: [3] }]) {
      expect(await refusal(state)).toMatchObject({ kind: "malformed", path: path("bad/state.json") });
    }
    await writeFile(path("dict/dataset_dict.json"), '{"splits": ["../d1"]}');
    await expect(resolvePaths([path("dict")])).rejects.toMatchObject({ kind: "malformed" });
  });
});
