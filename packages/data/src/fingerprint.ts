/**
 * A short name for a corpus's content, so that statistics and checkpoints can tell whether they belong to it.
 * Covers file names, sizes, headers and the first and last rows: enough to notice a corpus written again, not
 * a proof against a changed number in the middle. Depends on node:crypto only.
 */
import { createHash } from "node:crypto";
import { fileName } from "./remote/address.ts";

/** What is hashed of each file. */
export interface FingerprintFile {
  readonly path: string;
  readonly size: number;
  /** Footer or schema message. */
  readonly metadataBytes: Uint8Array;
}

/**
 * SHA-256, in hexadecimal.
 * @param column the vector column: two columns of one file are two corpora.
 * @param ends values of the first and last block (of the default size, whatever size is read); may share memory.
 */
export async function fingerprintOf(
  column: string,
  files: readonly FingerprintFile[],
  ends: AsyncIterable<Uint8Array>,
): Promise<string> {
  const hash = createHash("sha256");
  const part = (bytes: Uint8Array | string): void => {
    const content = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
    hash.update(`${content.byteLength}:`);
    hash.update(content);
  };
  part(column);
  for (const file of files) {
    part(fileName(file.path));
    part(String(file.size));
    part(file.metadataBytes);
  }
  for await (const bytes of ends) part(bytes);
  return hash.digest("hex");
}
