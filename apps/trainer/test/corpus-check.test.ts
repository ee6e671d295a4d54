/** `corpus check` as a user meets it: what it prints, and the exit status. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Field, FixedSizeList, Float32, Table, tableToIPC, vectorFromArray } from "apache-arrow";
import { expect, it } from "vitest";
import { runCli, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);

it("says that a sound corpus has no faults, with exit status 0", async () => {
  await writeSmallCorpus(at("sound.arrow"), 300);
  const { status, stdout, stderr } = await runCli(["corpus", "check", at("sound.arrow")]);
  expect([status, stdout, stderr]).toEqual([0, "300 rows of 1 file read, no faults\n", ""]);
});

it("names each fault in each file, with exit status 2", async () => {
  const rows = Array.from({ length: 12 }, (_, row) =>
    Array.from({ length: 12 }, (_, i) => (row % 5 === 4 && i === 3 ? Number.NaN : row)),
  );
  const vector = vectorFromArray(rows, new FixedSizeList(12, new Field("item", new Float32(), true)));
  await writeFile(at("faulty-1.arrow"), tableToIPC(new Table({ activation: vector }), "file"));
  const whole = await readFile(at("sound.arrow"));
  await writeFile(at("faulty-2.arrow"), whole.subarray(0, whole.length / 2));
  await writeFile(at("faulty-3.arrow"), whole);

  const { status, stdout, stderr } = await runCli(["corpus", "check", at("faulty-*.arrow"), "--limit", "2"]);
  expect([status, stderr]).toEqual([2, ""]);
  expect(stdout.trim().split("\n")).toEqual([
    expect.stringMatching(/faulty-1\.arrow, batch 0, row 4, column "activation": number 3 of 12 is NaN/),
    expect.stringMatching(/faulty-1\.arrow, batch 0, row 9, column "activation": number 3 of 12 is NaN/),
    "… and 1 more",
    "312 rows of 3 files read, 3 faults in 2",
  ]);

  const json = await runCli(["corpus", "check", at("faulty-*.arrow"), "--json"]);
  expect(json.status).toBe(2);
  expect(JSON.parse(json.stdout)).toMatchObject({
    files: 3,
    faultyFiles: 2,
    rows: 312,
    faultCount: 3,
    faults: [
      { kind: "non-finite", path: at("faulty-1.arrow"), batch: 0, row: 4, column: "activation" },
      { kind: "non-finite", batch: 0, row: 9 },
      { kind: "truncated", path: at("faulty-2.arrow") },
    ],
  });
});

it("says in one line that there are no files to check", async () => {
  const { status, stdout, stderr } = await runCli(["corpus", "check", at("absent.arrow")]);
  expect([status, stdout]).toEqual([2, ""]);
  expect(stderr).toMatch(/^error: .*absent\.arrow: no such file or folder\n$/);
});
