/** What can go wrong with a program that the proxy runs, as a value. */

export type ProgramFailure =
  /** It could not be started, or ended, or did not answer in time; `detail` has the end of its log. */
  | { readonly kind: 'not-started'; readonly program: 'haproxy' | 'pgbouncer'; readonly detail: string }
  /** An argument that no program could work with. */
  | { readonly kind: 'invalid-input'; readonly detail: string };
