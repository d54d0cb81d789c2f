/**
 * The data volume at a host's installation, by the functions of `host/install.sh` themselves on files in place of disks: a file system is
 * made where there are only zeros, and nowhere else. Making and mounting are noted, not done.
 */
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

const installer = join(dirname(fileURLToPath(import.meta.url)), '../../host/install.sh');
const diskBytes = 32 * 1024 * 1024;
let folder: string;
let disk: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-volume-'));
  disk = join(folder, 'disk');
  writeFileSync(disk, '');
  truncateSync(disk, diskBytes);
  mkdirSync(join(folder, 'by-id'));
  symlinkSync(disk, join(folder, 'by-id', 'nvme-Amazon_Elastic_Block_Store_vol0abc'));
  const encoded = (text: string) => Buffer.from(text).toString('base64');
  writeFileSync(
    join(folder, 'parameters'),
    `role ${encoded('database')}\npostgres.major ${encoded('17')}\npostgres.dataVolumeId ${encoded('vol-0abc')}\n`,
  );
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** `mkfs.ext4` is made to work on a file; `mount` and `mountpoint` only say what they would do. */
function mountVolume(before = ''): Promise<{ code: number; output: string }> {
  const script = `
    source ${installer} ${join(folder, 'parameters')}
    mkfs.ext4() { echo "MADE $*" >>${folder}/log; command mkfs.ext4 -F "$@"; }
    mount() { echo "MOUNTED $*" >>${folder}/log; }
    mountpoint() { false; }
    ${before}
    mount_volume`;
  const env = {
    PATH: `${process.env['PATH']}:/usr/sbin:/sbin`,
    LEASEHOLD_FOLDER: join(folder, 'host'),
    LEASEHOLD_FSTAB: join(folder, 'fstab'),
    LEASEHOLD_BY_ID: join(folder, 'by-id'),
    LEASEHOLD_VOLUME_PATIENCE_S: '1',
  };
  return new Promise((resolve) => {
    execFile('bash', ['-c', script], { env, timeout: 30_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: `${stdout}${stderr}` }),
    );
  });
}

const log = () => (existsSync(join(folder, 'log')) ? readFileSync(join(folder, 'log'), 'utf8') : '');
const hash = () => createHash('sha256').update(readFileSync(disk)).digest('hex');

test('an empty volume gets a file system and is mounted by its UUID, a second time without making one', async () => {
  const first = await mountVolume();
  expect(first.output).toContain('makes a file system');
  expect(first.code).toBe(0);
  expect(log()).toMatch(/^MADE .*\nMOUNTED -o noatime -- UUID=[0-9a-f-]{36} /);
  const fstab = readFileSync(join(folder, 'fstab'), 'utf8');
  expect(fstab).toMatch(
    /^UUID=[0-9a-f-]{36} \S+\/host ext4 defaults,noatime,nofail,x-systemd.device-timeout=120 0 2\n$/,
  );
  const second = await mountVolume();
  expect(second.code).toBe(0);
  expect(log().match(/MADE/g)).toHaveLength(1);
  expect(readFileSync(join(folder, 'fstab'), 'utf8')).toBe(fstab);
});

test('a volume with a file system keeps it', async () => {
  execFileSync('mkfs.ext4', ['-q', '-F', disk], {
    env: { PATH: '/usr/sbin:/sbin:/usr/bin:/bin' },
    stdio: 'ignore',
  });
  const before = hash();
  expect((await mountVolume()).code).toBe(0);
  expect(log()).not.toContain('MADE');
  expect(hash()).toBe(before);
});

test.each([
  // One partition of type 83, from sector 2048 on.
  [
    'a partition table',
    446,
    Buffer.from(`${'00202100831010000008000000100000'.padEnd(128, '0')}55aa`, 'hex'),
  ],
  [
    'bytes that blkid does not know, in its tenth MiB',
    10 * 1024 * 1024,
    Buffer.from('the log of another database'),
  ],
  ['a mark of a RAID at its end', diskBytes - 1024, Buffer.from('Intel Raid ISM Cfg Sig. 1.3.00')],
  ['a swap area', 4086, Buffer.from('SWAPSPACE2')],
])('a volume with %s is refused and left as it is', async (_what, at, content) => {
  const bytes = readFileSync(disk);
  bytes.set(content, at);
  writeFileSync(disk, bytes);
  const before = hash();
  const { code, output } = await mountVolume();
  expect(code).toBe(1);
  expect(output).toMatch(/nothing was changed|of type (swap|isw_raid_member)/);
  expect(log()).toBe('');
  expect(hash()).toBe(before);
});

test('a folder that has something in it is not hidden by the volume', async () => {
  mkdirSync(join(folder, 'host', 'data'), { recursive: true });
  const { code, output } = await mountVolume();
  expect(code).toBe(1);
  expect(output).toContain('is not empty');
  expect(log()).not.toContain('MOUNTED');
});

test('a volume of another UUID does not take the place of one that is to be mounted there', async () => {
  writeFileSync(join(folder, 'fstab'), `# data\nUUID=0000 ${join(folder, 'host')} ext4 noatime 0 2\n`);
  const { code, output } = await mountVolume();
  expect(code).toBe(1);
  expect(output).toContain('names another volume');
  expect(log()).not.toContain('MOUNTED');
});

test('a volume that does not come is waited for, then named', async () => {
  rmSync(join(folder, 'by-id'), { recursive: true });
  const { code, output } = await mountVolume();
  expect(code).toBe(1);
  expect(output).toContain('the volume vol-0abc was not attached within 1 s');
});

test('something else mounted there is refused', async () => {
  const other = 'mountpoint() { true; }; findmnt() { echo 11111111-2222-3333-4444-555555555555; }';
  const { code, output } = await mountVolume(other);
  expect(code).toBe(1);
  expect(output).toContain('something else than vol-0abc is mounted');
});

test('data of another user number than the one that PostgreSQL gets here is refused', async () => {
  const folders = (user: string) =>
    mountVolume(`mount_volume() {
      user=${user}; role=database
      mkdir -p -- "$folder/data/pgdata"
      chown() { :; }
      make_folders
    }`);
  const other = await folders('$([[ $(id -u) == 0 ]] && echo nobody || echo root)');
  expect(other.code).toBe(1);
  expect(other.output).toMatch(/pgdata belongs to the user \d+, and \w+ is \d+ here/);
  expect((await folders('$(id -un)')).code).toBe(0);
});
