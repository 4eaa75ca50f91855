// SPDX-License-Identifier: GPL-2.0-only
/*
 * countup: something to look at with a debugger. Runs in the guest, from its initramfs.
 *
 * A process calls a function again and again, which adds one to a counter. It says where
 * both are, and each second, in FILE, how far it is.
 *
 * usage: countup FILE
 */
#include <stdio.h>
#include <time.h>

static volatile unsigned int counter;

__attribute__((noinline)) static void count(void)
{
	counter++;
}

int main(int argc, char **argv)
{
	time_t last = 0;
	FILE *file;

	if (argc != 2) {
		puts("usage: countup FILE");
		return 2;
	}
	for (;;) {
		count();
		if (time(NULL) == last)
			continue;
		last = time(NULL);
		file = fopen(argv[1], "w");
		if (!file)
			return 1;
		fprintf(file, "function %p counter %p value %u\n", (void *)count,
			(void *)&counter, counter);
		fclose(file);
	}
}
