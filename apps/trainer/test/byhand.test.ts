/** `sparseloom byhand` as a process: its two outputs, own data, and mistakes in one line. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runCli, temporaryFolder } from "./support.ts";

const folder = temporaryFolder();
const golden = async (name: string): Promise<string> =>
  await readFile(new URL(`golden/${name}.txt`, import.meta.url), "utf8");

describe("sparseloom byhand", () => {
  it.each(["autoencoder", "sparse"])("%s prints the golden numbers", async (example) => {
    const { status, stdout, stderr } = await runCli(["byhand", example]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toBe(`${await golden(`byhand-${example}`)}\n`);
  });

  it("works on own data, and prints one JSON object", async () => {
    const input = join(folder, "own.csv");
    await writeFile(input, "name,a,b\none,1,2\ntwo,0,-3\n");
    const own = ["--input", input, "--latents", "4", "--k", "1", "--steps", "3", "--json"];
    const { status, stdout } = await runCli(["byhand", "sparse", ...own]);
    expect(status).toBe(0);
    const walk = JSON.parse(stdout) as Record<string, unknown>;
    expect(walk).toMatchObject({
      example: "sparse",
      options: { learningRate: 0.1, steps: 3, seed: 0, latents: 4, architecture: "topk", k: 1 },
      labels: ["one", "two"],
    });
    expect(walk["sections"]).toContainEqual(
      expect.objectContaining({
        matrices: [
          {
            name: "X",
            rowNames: ["x1", "x2"],
            columnNames: ["X1", "X2"],
            values: [
              [1, 0],
              [2, -3],
            ],
          },
        ],
      }),
    );
    expect(walk["losses"]).toHaveLength(4);
  });

  it("answers a mistake in one line and status 2", async () => {
    const input = join(folder, "wrong.csv");
    await writeFile(input, "1,2\n3\n");
    const { status, stdout, stderr } = await runCli(["byhand", "autoencoder", "--input", input]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toBe(`error: --input ${input}, line 2: expected 2 numbers as in line 1, got 1\n`);
  });

  it("wants widths that begin with the number of features", async () => {
    const { status, stderr } = await runCli(["byhand", "autoencoder", "--widths", "5,3,5"]);
    expect(status).toBe(2);
    expect(stderr).toBe("error: --widths must begin with 4, the examples' number of features, got 5,3,5\n");
  });
});
