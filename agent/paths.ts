/** Where an agent keeps its files below its host's folder: one place, so that no two parts disagree. */
import { join } from 'node:path';
import type { HostConfig } from '../core/model/host-config.ts';

export const controlFilePath = (config: HostConfig): string => join(config.folder, 'run', 'control');
export const guardFifoPath = (config: HostConfig): string => join(config.folder, 'run', 'guard.fifo');
/** Exists while the watchdog device may be armed. */
export const watchdogMarkPath = (config: HostConfig): string => join(config.folder, 'run', 'watchdog.armed');
export const guardLogPath = (config: HostConfig): string => join(config.folder, 'log', 'guard.log');
export const postgresLogPath = (config: HostConfig): string => join(config.folder, 'log', 'postgres.log');
export const stateFolder = (config: HostConfig): string => join(config.folder, 'state');
/** What rotations brought: `secret-book.ts`. */
export const secretBookPath = (config: HostConfig): string => join(config.folder, 'state', 'secrets.json');
export const dataDirectory = (config: HostConfig): string => join(config.folder, 'data', 'pgdata');
export const socketFolder = (config: HostConfig): string => join(config.folder, 'data', 's');
export const proxyFolder = (config: HostConfig): string => join(config.folder, 'proxy');
export const logFolder = (config: HostConfig): string => join(config.folder, 'log');
/** The ports the agent got, for those on this host who ask for 0. */
export const agentFilePath = (config: HostConfig): string => join(config.folder, 'run', 'agent.json');
/** The host's private key, and the certificate that is in force. */
export const tlsFolder = (config: HostConfig): string => join(config.folder, 'tls');
