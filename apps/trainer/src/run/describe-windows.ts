/** How a corpus is shuffled, after the word "shuffle". */
import type { WindowPlan } from "@sparseloom/data";
import { counted } from "../progress.ts";

/** For people: what is mixed together, and how much memory it takes. */
export function describeWindows(plan: WindowPlan): string {
  const { shuffle, blocksPerWindow, rowsPerWindow, windowsPerEpoch, bytesPerWindow } = plan;
  if (shuffle === "none") return "none, rows in the order of the files";
  const size = `${counted(rowsPerWindow, "row")} (${(bytesPerWindow / 1e6).toFixed(1)} MB)`;
  if (windowsPerEpoch === 1) return `all ${size} together`;
  if (shuffle === "full") return `full, each row read by itself, ${size} at a time`;
  return `windows of ${counted(blocksPerWindow, "block")}, ${size}`;
}
