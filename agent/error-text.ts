/** What is logged of something that was thrown: where it came from, if it says so. */
export function errorText(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
