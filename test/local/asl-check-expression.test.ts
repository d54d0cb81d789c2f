// Expressions in which the check before the first execution must find nothing: each has no problem, and runs.

import jsonata from 'jsonata';
import { describe, expect, it } from 'vitest';
import { checkExpression } from '../../adapters/asl/check-expression.ts';
import { JSONATA_FUNCTIONS } from '../../adapters/asl/jsonata-functions.ts';

describe('an expression', () => {
  const none = { members: new Set(['input', 'context']), variables: new Set(['known']) };
  it.each([
    '$states.input.items[price > 3].name',
    '$states.input.items.(price * 2)',
    '$states.input.items^(>price).name',
    '$states.input.items{name: $sum(price)}',
    '$states.input.items@$i.{"a": $i.name}',
    '$states.input.items#$at.($at & name)',
    '$states.input.**.name',
    '$states.input ~> |items|{"price": price + 1}|',
    '($f := function($n) { $n < 2 ? 1 : $n * $f($n - 1) }; $f(4))',
    '$map($known, function($v) { $v.name })',
    '$known ~> $count()',
    '$reduce([1,2], function($a, $b) { $a + $b })',
    '$filter($known, $exists)',
    '($add := function($a, $b) { $a + $b }; $inc := $add(1, ?); $inc(2))',
    '$states.input.items.$uppercase(name)',
    '$now() & $millis()',
    "$states.context.Execution.Name = 'x' ? [1..3] : -$known",
  ])('%s has no problem and runs', async (source) => {
    expect(checkExpression(source, none)).toEqual([]);
    const states = {
      input: {
        items: [
          { name: 'a', price: 5 },
          { name: 'b', price: 1 },
        ],
      },
      context: { Execution: { Name: 'x' } },
    };
    await expect(
      jsonata(source).evaluate(undefined, { states, known: [{ name: 'k' }] }),
    ).resolves.toBeDefined();
  });

  it('may call what JSONata 2.0.6 has, and nothing else', async () => {
    for (const name of JSONATA_FUNCTIONS) {
      await expect(jsonata(`$type($${name})`).evaluate(undefined), name).resolves.toBe('function');
    }
    const missing = await jsonata('$exists($format)').evaluate(undefined);
    expect(missing).toBe(false);
  });
});
