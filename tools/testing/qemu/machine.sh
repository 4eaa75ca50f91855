# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A guest that takes commands, and QEMU's monitor: for tests of what a machine's owner
# does to it. Besides what guest.sh has, a guest's directory has
#	agent.in, .out	its second serial line, on which its init takes commands
#	agent		what came back there
#	mon.in, .out	QEMU's monitor
#	mon		what it said

. "$(dirname "${BASH_SOURCE[0]}")/guest.sh"

# keep PIPE FILE: nobody waits for the other end of a pipe, and none of it is lost.
keep()
{
	setpriv --pdeathsig KILL cat <>"$1" >"$2" &
}

# machine NAME ARG...: start a guest that takes commands; ARGs say which accelerator
machine()
{
	local name=$1 dir=$RUN/$1

	shift
	mkdir -p "$dir"
	mkfifo "$dir"/{agent,mon}.{in,out}
	keep "$dir/agent.out" "$dir/agent"
	keep "$dir/mon.out" "$dir/mon"
	guest_start "$name" -serial "pipe:$dir/agent" -chardev "pipe,id=mon,path=$dir/mon" \
		-mon "chardev=mon,mode=readline" "$@"
}

# boots NAME ARG...: a machine with a kernel of Debian's, waited for
boots()
{
	boot_machine "$@"
	await_console "$1" "guest: init"
}

boot_machine()
{
	machine "$@" -m 192 -cpu host -kernel "$(kernel_image 6.1)" -initrd "$HERE/guest.cpio" \
		-append "console=ttyS0 quiet panic=-1 agent"
}

# await_console NAME REGEX [N]: until there are N such lines; QEMU goes on meanwhile
await_console()
{
	await "'$2' on the console of $1" console_or_end "$@"
}

console_or_end()
{
	local n

	n=$(grep -acsE "$2" "$RUN/$1/console")
	[ "${n:-0}" -lt "${3:-1}" ] || return 0
	! ended "$1" || fail "QEMU of $1 has ended"
	return 1
}

# answered NAME N: how many commands init has done
answered()
{
	[ "$(grep -ac '^@@ ' "$RUN/$1/agent")" -lt "$2" ] || return 0
	! ended "$1" || fail "QEMU of $1 has ended"
	return 1
}

# tell NAME COMMAND: have init run COMMAND, without waiting for its end
tell()
{
	echo "$2" >"$RUN/$1/agent.in"
}

# ask NAME COMMAND: have init run COMMAND; its output is printed, its status returned
ask()
{
	local agent=$RUN/$1/agent lines done

	lines=$(wc -l <"$agent")
	done=$(grep -ac '^@@ ' "$agent")
	tell "$1" "$2"
	await "an answer to '$2'" answered "$1" $((done + 1))
	tail -n +$((lines + 1)) "$agent" | grep -av '^@@ ' | tr -d '\r'
	return "$(grep -a '^@@ ' "$agent" | tail -n 1 | tr -dc 0-9)"
}

# monitor NAME COMMAND: of QEMU's monitor
monitor()
{
	echo "$2" >"$RUN/$1/mon.in"
}

# monitor_says NAME COMMAND REGEX: does COMMAND say so?
monitor_says()
{
	local lines

	lines=$(wc -l <"$RUN/$1/mon")
	monitor "$1" "$2"
	sleep 0.5
	tail -n +$((lines + 1)) "$RUN/$1/mon" | tr -d '\r' | grep -aqE "$3"
}
