/** Prints a worked example: paragraphs and matrices, as many side by side as fit the width. */
import type { NamedMatrix, Section, Walkthrough } from "./walkthrough.ts";

/** Columns of a terminal that everybody has. */
const WIDTH = 80;
/** Between matrices side by side. */
const GAP = "   ";

/** The whole walk as text. */
export function formatWalkthrough({ sections }: Walkthrough): string {
  return sections.map(formatSection).join("\n\n");
}

function formatSection({ title, text, matrices }: Section, index: number): string {
  const head = `${index}. ${title}`;
  const paragraphs = text.flatMap((paragraph) => wrap(paragraph));
  const blocks = rowsOfBlocks(matrices.flatMap(blocksOf));
  return [head, "─".repeat(Math.min(WIDTH, head.length)), ...paragraphs, ...blocks].join("\n");
}

/** Breaks a paragraph into lines at spaces; continuation lines keep the paragraph's indentation. */
export function wrap(paragraph: string): string[] {
  const indent = /^ */.exec(paragraph)?.[0] ?? "";
  const lines: string[] = [];
  let line = indent;
  for (const word of paragraph.trim().split(/ +/)) {
    const longer = line.trim() === "" ? indent + word : `${line} ${word}`;
    if (longer.length <= WIDTH || line.trim() === "") {
      line = longer;
      continue;
    }
    lines.push(line);
    line = indent + word;
  }
  return [...lines, line];
}

/** Numbers in one matrix share their decimals: at most four after the point, more where all numbers are small. */
export function formatNumbers(values: readonly (readonly number[])[]): string[][] {
  const all = values.flat();
  const largest = Math.max(...all.map(Math.abs));
  if (largest >= 1e7) return values.map((row) => row.map((value) => value.toPrecision(4).replace(/^-/, "−")));
  const decimals = largest > 0 ? Math.min(10, Math.max(4, 3 - Math.floor(Math.log10(largest)))) : 0;
  const zeros = all.map((value) => /\.?0*$/.exec(value.toFixed(decimals))?.[0].replace(".", "").length ?? 0);
  const shown = Math.max(0, decimals - (decimals === 0 ? 0 : Math.min(decimals, ...zeros)));
  return values.map((row) =>
    row.map((value) => {
      const text = value.toFixed(shown).replace("-", "−");
      return /[1-9]/.test(text) ? text : text.replace("−", "");
    }),
  );
}

/** A matrix, or some of its columns, as lines of equal meaning: blocks side by side align them. */
interface Block {
  readonly name: string;
  /** Empty where columns have no names. */
  readonly columnNames: string;
  readonly rows: readonly string[];
  readonly width: number;
  readonly startsLine: boolean;
}

/** A matrix as a block; as several where it is wider than the page. */
function blocksOf(matrix: NamedMatrix): Block[] {
  const cells = formatNumbers(matrix.values);
  const columns = cells[0]?.length ?? 0;
  const rowNameWidth = Math.max(0, ...matrix.rowNames.map((name) => name.length));
  const margin = rowNameWidth === 0 ? 0 : rowNameWidth + 1;
  const widthOf = (column: number): number =>
    Math.max(matrix.columnNames[column]?.length ?? 0, ...cells.map((row) => row[column]?.length ?? 0));
  const blocks: Block[] = [];
  for (let first = 0; first < columns; ) {
    const widths = [widthOf(first)];
    let used = margin + 4 + widthOf(first);
    while (first + widths.length < columns) {
      const next = widthOf(first + widths.length);
      if (used + 2 + next > WIDTH) break;
      used += 2 + next;
      widths.push(next);
    }
    const end = first + widths.length;
    const line = (name: string, texts: readonly string[], side: string): string =>
      `${name.padEnd(margin)}${side} ${texts.map((text, i) => text.padStart(widths[i] ?? 0)).join("  ")} ${side}`;
    const name = columns === widths.length ? matrix.name : `${matrix.name}, columns ${first + 1}–${end}`;
    const names = matrix.columnNames.slice(first, end);
    blocks.push({
      name,
      columnNames: names.length === 0 ? "" : line("", names, " "),
      rows: cells.map((texts, at) => line(matrix.rowNames[at] ?? "", texts.slice(first, end), "│")),
      width: Math.max(used, name.length),
      startsLine: matrix.startsLine === true,
    });
    first = end;
  }
  return blocks;
}

/** Blocks side by side while they fit; an empty line above each row of them. */
function rowsOfBlocks(blocks: readonly Block[]): string[] {
  const rows: Block[][] = [];
  let used = 0;
  for (const block of blocks) {
    const row = rows.at(-1);
    if (row === undefined || block.startsLine || used + GAP.length + block.width > WIDTH) {
      rows.push([block]);
      used = block.width;
    } else {
      row.push(block);
      used += GAP.length + block.width;
    }
  }
  return rows.flatMap((row) => ["", ...linesOf(row)]);
}

function linesOf(row: readonly Block[]): string[] {
  const across = (cell: (block: Block) => string): string =>
    row
      .map((block) => cell(block).padEnd(block.width))
      .join(GAP)
      .trimEnd();
  const height = Math.max(...row.map((block) => block.rows.length));
  const named = row.some((block) => block.columnNames !== "");
  return [
    across((block) => block.name),
    ...(named ? [across((block) => block.columnNames)] : []),
    ...Array.from({ length: height }, (_, at) => across((block) => block.rows[at] ?? "")),
  ];
}
