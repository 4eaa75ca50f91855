# SPDX-License-Identifier: GPL-2.0-only
#
# The bench client's lines of two hosts, umbra's first, as one table. A row is ok
# when its ratio, as printed, is not above its target.

function number(v)
{
	return v == "" ? "-" : sprintf(v < 100 ? "%.1f" : "%.0f", v)
}

# How far the rounds are apart, in per mille of the median.
function spread(median, least, most)
{
	return median > 0 ? sprintf("%.1f", 1000 * (most - least) / median) : "-"
}

function json_line(name, ratio, ok)
{
	printf("%s  {\"row\": \"%s\", \"per\": \"%s\", \"umbra\": %s, \"stock\": %s, ",
	       (rows > 1 ? ",\n" : "[\n"), name, unit[name],
	       (umbra[name] == "" ? "null" : umbra[name]),
	       (stock[name] == "" ? "null" : stock[name])) >json
	printf("\"ratio\": %s, \"target\": %s, \"ok\": %s}",
	       (ratio == "-" ? "null" : ratio), target[name], (ok ? "true" : "false")) >json
}

function print_row(name,	ratio, ok)
{
	ratio = "-"
	ok = 0
	if (umbra[name] != "" && stock[name] > 0) {
		ratio = sprintf("%.2f", umbra[name] / stock[name])
		ok = ratio + 0 <= target[name] + 0
	}
	printf "%-15s %-9s %10s %10s %6s %6.2f  %-3s", name, unit[name],
	       number(umbra[name]), number(stock[name]), ratio, target[name],
	       ok ? "ok" : "NOT"
	if (verbose)
		printf " %6s %6s  %s", umbra_spread[name], stock_spread[name], what[name]
	printf "\n"
	rows++
	missed += !ok
	if (json != "")
		json_line(name, ratio, ok)
}

NF == 7 {
	if (!($1 in unit))
		order[++names] = $1
	unit[$1] = $2
	target[$1] = $3
	what[$1] = $7
}
NF == 7 && FILENAME == ARGV[1] { umbra[$1] = $4; umbra_spread[$1] = spread($4, $5, $6) }
NF == 7 && FILENAME != ARGV[1] { stock[$1] = $4; stock_spread[$1] = spread($4, $5, $6) }

END {
	printf "%-15s %-9s %10s %10s %6s %6s", "row", "per", "umbra", "stock", "ratio", "target"
	if (verbose)
		printf "      %6s %6s", "+-umbra", "+-stock"
	printf "\n"
	for (i = 1; i <= names; i++)
		print_row(order[i])
	if (json != "" && rows)
		printf "\n]\n" >json
	if (!names)
		print "no figures"
	else if (missed)
		printf "%d of %d rows miss their target\n", missed, rows
	exit missed || !names
}
