# SPDX-License-Identifier: GPL-2.0-only
#
# The table of `run`: exceptions (PROGRAM|CAPABILITY|REASON), then the programs, one a line; and in dir
# a file for each host, with lines PROGRAM|STATUS|WHAT IT SAID LAST.

function verdict(status)
{
	if (status == "")
		return "lost"
	if (status == 0)
		return "pass"
	if (status == 4)
		return "skip"
	if (status == 124 || status == 137)
		return "time"
	return "fail"
}

function load(host,    line, part, got)
{
	while ((got = getline line < (dir "/" host)) > 0) {
		split(line, part, "|")
		result[host, part[1]] = verdict(part[2])
		said[host, part[1]] = part[3]
	}
	absent[host] = got < 0
}

# Of a program that passes on stock KVM: does it less here than it should?
function worse_than(what, program)
{
	return what != "-" && what != "pass" && !(program in exception && what == "skip")
}

BEGIN {
	load("tdp")
	load("shadow")
	load("stock")
	printf "%-40s %-6s %-6s %-6s\n", "program", "tdp", "shadow", "stock"
}

FILENAME != "-" {
	if ($0 !~ /^#/ && NF > 2)
		exception[$1] = $3
	next
}

{
	for (i = 1; i <= 3; i++) {
		host = i == 1 ? "tdp" : i == 2 ? "shadow" : "stock"
		r[i] = absent[host] ? "-" : ((host, $1) in result) ? result[host, $1] : "lost"
		sum[host, r[i]]++
	}
	printf "%-40s %-6s %-6s %-6s", $1, r[1], r[2], r[3]
	if (r[1] != r[3] || r[2] != r[3]) {
		if ($1 in exception)
			printf " %s", exception[$1]
		else
			printf " %s", r[1] != r[3] ? said["tdp", $1] : said["shadow", $1]
	}
	printf "\n"
	if (r[3] == "pass" && (worse_than(r[1], $1) || worse_than(r[2], $1)))
		worse++
}

END {
	for (i = 1; i <= 3; i++) {
		host = i == 1 ? "tdp" : i == 2 ? "shadow" : "stock"
		if (!absent[host])
			printf "%s: %d pass, %d skip, %d fail, %d out of time, %d lost\n",
			       host, sum[host, "pass"], sum[host, "skip"],
			       sum[host, "fail"], sum[host, "time"], sum[host, "lost"]
	}
	printf "%d that pass on stock KVM do not on umbra, and are no exception\n", worse
	exit worse > 0
}
