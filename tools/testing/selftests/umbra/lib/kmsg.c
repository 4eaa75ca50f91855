// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading /dev/kmsg, of which each read() gives one line.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "kmsg.h"
#include "vm.h"

#define TEXT_MAX (1 << 20)

int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || lseek(fd, 0, SEEK_END) < 0)
		die("/dev/kmsg");
	return fd;
}

const char *kmsg_text(int fd)
{
	static char text[TEXT_MAX];
	size_t len = 0;
	ssize_t n;

	/* EPIPE: some were lost before they could be read. */
	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0 ||
	       (n < 0 && errno == EPIPE))
		len += n > 0 ? n : 0;
	text[len] = 0;
	return text;
}

static bool has(const char *line, const char *end, const char *word)
{
	return !word || memmem(line, end - line, word, strlen(word));
}

bool line_has(const char *text, const char *a, const char *b, const char *c)
{
	const char *end;

	for (; (end = strchr(text, '\n')); text = end + 1)
		if (has(text, end, a) && has(text, end, b) && has(text, end, c))
			return true;
	return false;
}

int lines_with(const char *text, const char *a)
{
	const char *end;
	int count = 0;

	for (; (end = strchr(text, '\n')); text = end + 1)
		count += has(text, end, a);
	return count;
}
