/**
 * The text that agents prove themselves to one another with. While it is rotated two are taken and one is signed with; both are asked for at
 * each message, because they change while the agent runs.
 */
export interface SharedSecret {
  readonly sign: () => string;
  /** The one that is signed with among them. */
  readonly accept: () => readonly string[];
}
