/** Tells addresses on servers from paths of this machine. Depends on nothing but node:path. */
import { basename, resolve } from "node:path";

/** True for `http://`, `https://` and `s3://`. */
export function isRemote(path: string): boolean {
  return /^(https?|s3):\/\//i.test(path);
}

/** True for `s3://`. */
export function isS3(path: string): boolean {
  return /^s3:\/\//i.test(path);
}

/** Blocks worth having under way at a time: from a server each costs round trips, from a disk one is enough. */
export function blocksInFlight(files: readonly { readonly path: string }[]): number {
  return files.some(({ path }) => isRemote(path)) ? 8 : 1;
}

/** The path from the root on; an address as it is. */
export function absolutePath(path: string): string {
  return isRemote(path) ? path : resolve(path);
}

/** The last part of a path or address, without what follows a `?` in a web address: signatures that expire. */
export function fileName(path: string): string {
  return basename(isRemote(path) && !isS3(path) ? path.replace(/[?#].*$/s, "") : path);
}
