/**
 * Puts Systems Manager's agent onto images that lack it, Debian's own among them: without it neither Run Command nor Session Manager
 * reaches a host, and there is no SSH. It comes from AWS' bucket in the region, over HTTPS, before anything else of the boot, so that an
 * operator can look at a boot that failed. Where it cannot be had, the boot goes on and says so.
 */
import { Aws } from 'aws-cdk-lib';

/** Where AWS publishes it, for the stack's region. */
export const systemsManagerPackages = `https://s3.${Aws.REGION}.${Aws.URL_SUFFIX}/amazon-ssm-${Aws.REGION}/latest`;

/** `script` begins with `#!`; what comes back is one script that does both. `packages`: a URL without a slash at its end. */
export function withSystemsManager(script: string, packages = systemsManagerPackages): string {
  const firstLine = script.indexOf('\n') + 1;
  return script.slice(0, firstLine) + installer(packages) + script.slice(firstLine);
}

/** Ubuntu has it as a snap. Another program may hold the package manager's lock at first. */
const installer = (packages: string) => `ssm_agent() {
  for unit in amazon-ssm-agent snap.amazon-ssm-agent.amazon-ssm-agent; do
    systemctl cat "$unit.service" >/dev/null 2>&1 && return
  done
  local arch=amd64 kind=linux form=rpm put='rpm -U' file
  [ "$(uname -m)" = aarch64 ] && arch=arm64
  command -v dpkg >/dev/null && kind=debian form=deb put='dpkg -i'
  file=$(mktemp -d)/amazon-ssm-agent.$form
  python3 -c 'import sys, urllib.request; urllib.request.urlretrieve(*sys.argv[1:])' \\
    "${packages}/\${kind}_$arch/amazon-ssm-agent.$form" "$file" && $put "$file" && systemctl enable --now amazon-ssm-agent
}
for attempt in 1 2 3 4 5 6 7 8 9 none; do
  ssm_agent && break
  [ $attempt = none ] && echo "leasehold: Systems Manager's agent could not be installed" >&2 || sleep "\${LEASEHOLD_BOOT_PAUSE_S:-6}"
done
`;
