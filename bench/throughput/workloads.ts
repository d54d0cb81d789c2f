/**
 * What the throughput suite asks of PostgreSQL: each workload's transactions, as scripts of pgbench wherever one can be (it is written in
 * C, so that the client is the last to be the bottleneck), and what its tables need before each measurement. Pure.
 */

/** Variations that every workload takes where they mean something. */
export interface Switches {
  /** Secondary indexes. */
  readonly indexes: boolean;
  readonly foreignKeys: boolean;
  /** BEGIN and COMMIT around each sequence of statements; else each statement commits for itself. */
  readonly explicitTransactions: boolean;
}

export interface Workload {
  readonly name: string;
  readonly what: string;
  readonly reads: 'primary' | 'standbys';
  readonly unit: 'transactions/s' | 'rows/s';
  /** Tables that grow; emptied before each measurement, so that each begins with the same. */
  readonly growing: readonly string[];
  /** Tables whose rows are updated in place; vacuumed before each measurement. */
  readonly updated: readonly string[];
  readonly load:
    | { readonly kind: 'builtin'; readonly script: 'tpcb-like' | 'select-only' }
    | { readonly kind: 'scripts'; readonly scripts: (switches: Switches) => readonly WeightedScript[] }
    /** Loads a file by COPY, one connection a client. */
    | { readonly kind: 'copy' };
}

export interface WeightedScript {
  readonly weight: number;
  readonly text: string;
}

/** Lines of a script that stand for one transaction. */
function script(switches: Switches, sets: readonly string[], statements: readonly string[]): string {
  const body = switches.explicitTransactions ? ['BEGIN;', ...statements, 'COMMIT;'] : statements;
  return `${[...sets, ...body].join('\n')}\n`;
}

const anyPayment = [
  '\\set payer random(1, :customers)',
  '\\set payee random(1, :customers)',
  '\\set amount random(1, 100000)',
  '\\set seed random(1, 1000000000)',
  // 1 to 64 times 32 characters, short ones far more often.
  '\\set length random_exponential(1, 64, 4)',
];

const paymentsRelational: Workload = {
  name: 'payments',
  what: 'inserts a payment with a description of 32 to 2,048 characters and reads it back by its key',
  reads: 'primary',
  unit: 'transactions/s',
  growing: ['bench_payments'],
  updated: [],
  load: {
    kind: 'scripts',
    scripts: (switches) => [
      {
        weight: 1,
        text: script(switches, anyPayment, [
          "INSERT INTO bench_payments (payer_id, payee_id, amount, description) VALUES (:payer, :payee, :amount, repeat(md5(':seed'), :length)) RETURNING id AS payment \\gset",
          'SELECT payer_id, payee_id, amount, status, description FROM bench_payments WHERE id = :payment;',
        ]),
      },
    ],
  },
};

const paymentsJsonb: Workload = {
  name: 'payments-jsonb',
  what: 'the same payment as one jsonb document',
  reads: 'primary',
  unit: 'transactions/s',
  growing: ['bench_payment_documents'],
  updated: [],
  load: {
    kind: 'scripts',
    scripts: (switches) => [
      {
        weight: 1,
        text: script(switches, anyPayment, [
          "INSERT INTO bench_payment_documents (body) VALUES (jsonb_build_object('payer', :payer, 'payee', :payee, 'amount', :amount, 'status', 'new', 'tags', jsonb_build_array('a', 'b'), 'description', repeat(md5(':seed'), :length))) RETURNING id AS payment \\gset",
          "SELECT body->>'payer', body->>'amount', body->>'description' FROM bench_payment_documents WHERE id = :payment;",
        ]),
      },
    ],
  },
};

const documents: Workload = {
  name: 'documents',
  what: 'four updates of a whole document of 4 to 64 KiB, kept out of line and uncompressed (TOAST), to one read',
  reads: 'primary',
  unit: 'transactions/s',
  growing: [],
  updated: ['bench_documents'],
  load: {
    kind: 'scripts',
    scripts: (switches) => [
      {
        weight: 4,
        text: script(
          switches,
          [
            '\\set document random(1, :documents)',
            '\\set seed random(1, 1000000000)',
            '\\set length random_exponential(128, 2048, 3)',
          ],
          [
            "UPDATE bench_documents SET version = version + 1, body = repeat(md5(':seed'), :length) WHERE id = :document;",
          ],
        ),
      },
      {
        weight: 1,
        text: script(
          switches,
          ['\\set document random(1, :documents)'],
          ['SELECT version, body FROM bench_documents WHERE id = :document;'],
        ),
      },
    ],
  },
};

const mixed: Workload = {
  name: 'mixed',
  what: 'an order over five tables: reads a customer, inserts order, lines and payment, updates stock and order, reads the total by a join',
  reads: 'primary',
  unit: 'transactions/s',
  growing: ['bench_orders', 'bench_order_lines', 'bench_payments'],
  updated: ['bench_products'],
  load: {
    kind: 'scripts',
    scripts: (switches) => [
      {
        weight: 1,
        text: script(
          switches,
          [
            ...anyPayment,
            '\\set product random(1, :products)',
            '\\set other random(1, :products)',
            '\\set quantity random(1, 5)',
          ],
          [
            'SELECT name FROM bench_customers WHERE id = :payer;',
            'INSERT INTO bench_orders (customer_id) VALUES (:payer) RETURNING id AS order_id \\gset',
            'INSERT INTO bench_order_lines (order_id, line, product_id, quantity) VALUES (:order_id, 1, :product, :quantity), (:order_id, 2, :other, 1);',
            'UPDATE bench_products SET stock = stock - :quantity WHERE id = :product;',
            "INSERT INTO bench_payments (payer_id, payee_id, amount, description) VALUES (:payer, :payee, :amount, repeat(md5(':seed'), :length));",
            "UPDATE bench_orders SET status = 'paid' WHERE id = :order_id;",
            'SELECT o.status, sum(l.quantity * p.price) FROM bench_orders o JOIN bench_order_lines l ON l.order_id = o.id JOIN bench_products p ON p.id = l.product_id WHERE o.id = :order_id GROUP BY o.status;',
          ],
        ),
      },
    ],
  },
};

export const workloads: readonly Workload[] = [
  {
    name: 'tpcb',
    what: "pgbench's TPC-B-like transaction: three updates, an insert and a select between BEGIN and END",
    reads: 'primary',
    unit: 'transactions/s',
    growing: ['pgbench_history'],
    updated: ['pgbench_accounts', 'pgbench_tellers', 'pgbench_branches'],
    load: { kind: 'builtin', script: 'tpcb-like' },
  },
  {
    name: 'select',
    what: "pgbench's select-only: one row by its key",
    reads: 'primary',
    unit: 'transactions/s',
    growing: [],
    updated: [],
    load: { kind: 'builtin', script: 'select-only' },
  },
  paymentsRelational,
  paymentsJsonb,
  documents,
  mixed,
  {
    name: 'bulk',
    what: 'COPY of a file by each client at once, into one table',
    reads: 'primary',
    unit: 'rows/s',
    growing: ['bench_bulk'],
    updated: [],
    load: { kind: 'copy' },
  },
  {
    name: 'replica-reads',
    what: 'select-only on the standbys',
    reads: 'standbys',
    unit: 'transactions/s',
    growing: [],
    updated: [],
    load: { kind: 'builtin', script: 'select-only' },
  },
];
