/**
 * Sends the figures of one cluster to CloudWatch: one line in the embedded metric format (EMF) on the output stream, from which Lambda's
 * log makes metrics. Its one dimension is the cluster; what is said besides is only in the log line, where it costs nothing and
 * Logs Insights finds it.
 */
import { Metrics } from '@aws-lambda-powertools/metrics';
import type { Measure } from '../adapters/workflow/ports.ts';
import {
  type MetricName,
  metricDimension,
  metricNamespace,
  metricUnits,
} from '../core/health/cluster-metrics.ts';

export function createMeasure(serviceName: string): Measure {
  const metrics = new Metrics({ namespace: metricNamespace, serviceName });
  // Powertools makes the service a dimension too: then no alarm on the cluster alone would see anything.
  metrics.clearDefaultDimensions();
  return (cluster, figures, about = {}) => {
    const entries = Object.entries(figures) as [MetricName, number][];
    if (entries.length === 0) return;
    metrics.addDimension(metricDimension, cluster);
    for (const [name, value] of entries) metrics.addMetric(name, metricUnits[name], value);
    for (const [name, text] of Object.entries(about)) metrics.addMetadata(name, text);
    metrics.publishStoredMetrics();
  };
}
