/** `corpus info` as a user meets it: what it counts, and what it warns of. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Field, FixedSizeList, Float32, Table, tableToIPC, vectorFromArray } from "apache-arrow";
import { expect, it } from "vitest";
import { runCli, temporaryFolder } from "./support.ts";

const folder = temporaryFolder();
const ROWS = 2000;

it("counts and names rows that are not finite, and warns of what spoils training", async () => {
  const rows = Array.from({ length: ROWS }, (_, row) =>
    row === 1500 ? [500, 500, 500] : [row % 11, row % 7, row === 70 ? Number.NaN : row % 5],
  );
  const vector = vectorFromArray(rows, new FixedSizeList(3, new Field("item", new Float32(), true)));
  const path = join(folder, "sinks.arrow");
  await writeFile(path, tableToIPC(new Table({ activation: vector }), "file"));

  const { status, stdout, stderr } = await runCli(["corpus", "info", path, "--full", "--json"]);
  expect(status).toBe(0);
  const report = JSON.parse(stdout) as { statistics: object; warnings: string[] };
  expect(report.statistics).toMatchObject({
    sampledRows: ROWS - 1,
    nonFiniteRows: 1,
    exact: true,
    maxAbs: [500, 500, 500],
  });
  expect(report.warnings).toEqual([
    expect.stringMatching(/0\.1 % of the rows hold 9\d\.\d % of the total variance/),
    expect.stringMatching(/1 row has numbers that are not finite \(sinks\.arrow, batch 0, row 70\)/),
  ]);
  expect(stderr).toMatch(/statistics kept in .*sinks\.arrow\.sparseloom\.json/s);

  // From the sidecar.
  const text = await runCli(["corpus", "info", path]);
  expect(text.stdout).toMatch(/statistics from all 1,999 rows.*norm quantiles.*not finite: 1/s);
});
