/**
 * The suite for any endpoint, at one of the embedded runtime: a control plane without hosts in this process, and hosts in a runtime of
 * their own that join it. So the path that LocalStack takes lives in every run of the tests, also where there is no Docker.
 */
import { embeddedControlPlane } from '../support/embedded-control-plane.ts';
import { anyEndpointSuite } from './support/any-endpoint-suite.ts';

anyEndpointSuite('an embedded endpoint', () => null, embeddedControlPlane);
