/**
 * An error that an AWS service answers with. Handlers throw it; the HTTP server turns it into the shape
 * that the protocol of the service asks for. Anything else that is thrown is a bug and becomes a 500.
 */
export class AwsError extends Error {
  /** The code that clients match on, for example `ExecutionAlreadyExists`. */
  readonly code: string;
  readonly httpStatus: number;

  constructor(code: string, message: string, httpStatus = 400) {
    super(message);
    this.name = 'AwsError';
    this.code = code;
    this.httpStatus = httpStatus;
  }
}
