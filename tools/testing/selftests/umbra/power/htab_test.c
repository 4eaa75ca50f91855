// SPDX-License-Identifier: GPL-2.0-only
/*
 * The whole table: read and written through KVM_PPC_GET_HTAB_FD, and replaced by one of
 * another size, while it is in use.
 */
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "lib/guest.h"

#define ORDER 18
#define V_BOLTED 0x10ULL
#define ENTRIES (1 << (ORDER - 4))

FIXTURE(htab) {
	struct hpt_guest g;
	struct hpt_vm to;		/* where the table goes */
	bool runs;
};

static void open_second(struct hpt_vm *vm, unsigned int order)
{
	hpt_vm_open(vm, PAGES * 65536 / sysconf(_SC_PAGESIZE), order);
}

FIXTURE_SETUP(htab)
{
	self->runs = guest_open(&self->g, ORDER);
	open_second(&self->to, ORDER);
}

FIXTURE_TEARDOWN(htab)
{
	EXPECT_EQ(0, hpt_violations(&self->to));
	hpt_vm_close(&self->to);
	EXPECT_EQ(0, guest_end(&self->g));
}

static int htab_fd(struct hpt_vm *vm, uint64_t flags, uint64_t start)
{
	struct kvm_get_htab_fd request = { .flags = flags, .start_index = start };

	return ioctl(vm->fd, KVM_PPC_GET_HTAB_FD, &request);
}

/* What the runs of a stream say, counted. */
struct counts {
	unsigned int valid, invalid;
	uint32_t last;		/* index of the last run */
};

static bool count_runs(const uint8_t *buf, ssize_t len, struct counts *c)
{
	struct kvm_get_htab_header run;

	for (; len >= (ssize_t)sizeof(run); len -= sizeof(run) + run.n_valid * 16) {
		memcpy(&run, buf, sizeof(run));
		if (!run.n_valid && !run.n_invalid)
			return false;
		c->valid += run.n_valid;
		c->invalid += run.n_invalid;
		c->last = run.index;
		buf += sizeof(run) + run.n_valid * 16;
	}
	return !len;
}

/* One pass of reading, or as much of it as there is, each piece written to the other. */
static int transfer(int from, int to, size_t size, struct counts *c)
{
	uint8_t buf[16384];
	ssize_t n;
	int bytes = 0;

	memset(c, 0, sizeof(*c));
	do {
		n = read(from, buf, size);
		if (n < 0)
			return -errno;
		if (!count_runs(buf, n, c))
			return -EBADMSG;
		if (n && to >= 0 && write(to, buf, n) != n)
			return -EIO;
		bytes += n;
	} while (n && c->valid + c->invalid < ENTRIES);
	return bytes;
}

static void same_table(struct __test_metadata *_metadata, struct hpt_vm *a, struct hpt_vm *b)
{
	uint64_t i, ga[9], gb[9];

	for (i = 0; i < a->entries; i += 4) {
		memcpy(ga, (uint64_t[9]) { H_READ, H_READ_4, i }, sizeof(ga));
		memcpy(gb, ga, sizeof(gb));
		ASSERT_EQ(H_SUCCESS, hcall(a, ga));
		ASSERT_EQ(H_SUCCESS, hcall(b, gb));
		ASSERT_EQ(0, memcmp(ga, gb, sizeof(ga)));
	}
}

static void map_some(struct __test_metadata *_metadata, struct hpt_guest *g, int pages)
{
	int i;

	ASSERT_EQ(H_SUCCESS, enter_page(g, CODE, CODE, R_M | 2));
	for (i = 0; i < pages; i++)
		ASSERT_EQ(H_SUCCESS, enter_page(g, DATA + i * page_size,
						0x100000 + i * page_size, R_M | 2));
}

TEST_F(htab, first_pass_gives_all_and_later_ones_what_changed)
{
	uint64_t index = page_index(&self->g, DATA), slbv, gpr[9];
	struct hpt_vm *vm = &self->g.vm;
	struct umbra_hpt_access a;
	struct counts c;
	int fd, to;

	slbv = SLB | (page_size > 4096 ? SLB_64K : 0);
	map_some(_metadata, &self->g, 8);
	fd = htab_fd(vm, 0, 0);
	to = htab_fd(&self->to, KVM_GET_HTAB_WRITE, 0);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, to);
	ASSERT_LT(0, transfer(fd, to, 16384, &c));
	ASSERT_EQ(9, c.valid);
	ASSERT_EQ(ENTRIES - 9, c.invalid);
	same_table(_metadata, vm, &self->to);
	ASSERT_EQ(0, transfer(fd, to, 16384, &c));
	/* R and C that the hardware notes, once. */
	ASSERT_EQ(UMBRA_HPT_DONE, hpt_store(vm, DATA, slbv, 1, &a));
	ASSERT_LT(0, transfer(fd, to, 16384, &c));
	ASSERT_EQ(1, c.valid);
	ASSERT_EQ(0, c.invalid);
	ASSERT_EQ(index, c.last);
	ASSERT_EQ(UMBRA_HPT_DONE, hpt_store(vm, DATA, slbv, 1, &a));
	ASSERT_EQ(0, transfer(fd, to, 16384, &c));
	/* R and C that are cleared. */
	memcpy(gpr, (uint64_t[9]) { H_CLEAR_MOD, 0, index }, sizeof(gpr));
	ASSERT_EQ(H_SUCCESS, hcall(vm, gpr));
	ASSERT_LT(0, transfer(fd, to, 16384, &c));
	ASSERT_EQ(1, c.valid);
	/* What is told to the guest's view when the page goes. */
	ASSERT_EQ(UMBRA_HPT_DONE, hpt_store(vm, DATA, slbv, 1, &a));
	madvise(vm->mem + 0x100000, page_size, MADV_DONTNEED);
	ASSERT_LT(0, transfer(fd, to, 16384, &c));
	ASSERT_EQ(1, c.valid);
	memcpy(gpr, (uint64_t[9]) { H_PROTECT, 3, index }, sizeof(gpr));
	ASSERT_EQ(H_SUCCESS, hcall(vm, gpr));
	ASSERT_LT(0, transfer(fd, to, 16384, &c));
	ASSERT_EQ(1, c.valid);
	same_table(_metadata, vm, &self->to);
	ASSERT_EQ(H_SUCCESS, h_remove(vm, 0, index, 0, NULL, NULL));
	ASSERT_LT(0, transfer(fd, to, 16384, &c));
	ASSERT_EQ(0, c.valid);
	ASSERT_EQ(1, c.invalid);
	same_table(_metadata, vm, &self->to);
	close(fd);
	close(to);
}

TEST_F(htab, pieces_and_bolted_ones)
{
	struct hpt_vm *vm = &self->g.vm;
	struct counts c;
	uint64_t at, i;
	int fd, to = htab_fd(&self->to, KVM_GET_HTAB_WRITE, 0);

	for (i = 0; i < 40; i++)
		ASSERT_EQ(H_SUCCESS, h_enter(vm, H_EXACT, 1000 + i,
					     (i % 4 ? 0 : V_BOLTED) | 0x1234ULL << 12,
					     R_M | 2, &at));
	/* Into what is just enough for one at a time. */
	fd = htab_fd(vm, 0, 0);
	ASSERT_LT(0, transfer(fd, to, 24, &c));
	ASSERT_EQ(40, c.valid);
	same_table(_metadata, vm, &self->to);
	close(fd);
	fd = htab_fd(vm, KVM_GET_HTAB_BOLTED_ONLY, 0);
	ASSERT_LT(0, transfer(fd, -1, 16384, &c));
	ASSERT_EQ(10, c.valid);
	ASSERT_EQ(ENTRIES - 10, c.invalid);
	close(fd);
	/* The first pass begins there, the second at the beginning. */
	fd = htab_fd(vm, 0, 1010);
	memset(&c, 0, sizeof(c));
	{
		uint8_t buf[65536];
		ssize_t n = read(fd, buf, sizeof(buf));

		ASSERT_TRUE(count_runs(buf, n, &c));
	}
	ASSERT_EQ(30, c.valid);
	ASSERT_EQ(ENTRIES - 1010 - 30, c.invalid);
	close(fd);
	close(to);
}

TEST_F(htab, nonsense_is_refused)
{
	struct kvm_get_htab_fd request = { .flags = 4 };
	struct { struct kvm_get_htab_header run; uint64_t hpte[2]; } piece = {};
	int fd, to = htab_fd(&self->to, KVM_GET_HTAB_WRITE, 0);
	void *nowhere = self->to.mem + self->to.pages * page_size;
	uint64_t v, r;

	ASSERT_EQ(-1, ioctl(self->to.fd, KVM_PPC_GET_HTAB_FD, &request));
	ASSERT_EQ(EINVAL, errno);
	request = (struct kvm_get_htab_fd) { .reserved = { 0, 1 } };
	ASSERT_EQ(-1, ioctl(self->to.fd, KVM_PPC_GET_HTAB_FD, &request));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(-1, htab_fd(&self->to, 0, ENTRIES));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(-1, ioctl(self->to.fd, KVM_PPC_GET_HTAB_FD, NULL));
	ASSERT_EQ(EFAULT, errno);
	/* Each is for one direction. */
	ASSERT_EQ(-1, read(to, &piece, sizeof(piece)));
	ASSERT_EQ(EBADF, errno);
	fd = htab_fd(&self->to, 0, 0);
	ASSERT_EQ(-1, write(fd, &piece, sizeof(piece)));
	ASSERT_EQ(EBADF, errno);
	ASSERT_EQ(-1, read(fd, &piece, 23));
	ASSERT_EQ(EINVAL, errno);
	munmap((uint8_t *)nowhere - page_size, page_size);
	nowhere = (uint8_t *)nowhere - page_size;
	ASSERT_EQ(-1, read(fd, nowhere, 4096));
	ASSERT_EQ(EFAULT, errno);

	/* Behind the end; not all there; not valid; of no page size; nowhere to read from. */
	piece.run.index = ENTRIES;
	piece.run.n_valid = 1;
	piece.hpte[0] = htobe64(0x1234ULL << 12 | V_VALID);
	piece.hpte[1] = htobe64(R_M | 2);
	ASSERT_EQ(-1, write(to, &piece, sizeof(piece)));
	ASSERT_EQ(EINVAL, errno);
	piece.run.index = 7;
	ASSERT_EQ(-1, write(to, &piece, sizeof(piece) - 1));
	ASSERT_EQ(EINVAL, errno);
	piece.run.n_valid = 0;
	piece.run.n_invalid = 2;
	piece.run.index = ENTRIES - 1;
	ASSERT_EQ(-1, write(to, &piece, sizeof(piece.run)));
	ASSERT_EQ(EINVAL, errno);
	piece.run = (struct kvm_get_htab_header) { .index = 7, .n_valid = 1 };
	piece.hpte[0] = htobe64(0x1234ULL << 12);
	ASSERT_EQ(-1, write(to, &piece, sizeof(piece)));
	ASSERT_EQ(EINVAL, errno);
	piece.hpte[0] = htobe64(0x1234ULL << 12 | V_LARGE | V_VALID);
	piece.hpte[1] = htobe64(R_M | 2 | 0x5000);
	ASSERT_EQ(-1, write(to, &piece, sizeof(piece)));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(-1, write(to, nowhere, sizeof(piece)));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_EQ(H_SUCCESS, h_read(&self->to, 7, &v, &r));
	ASSERT_EQ(0, v);
	/* And as it should be. */
	piece.hpte[0] = htobe64(0x1234ULL << 12 | V_VALID);
	piece.hpte[1] = htobe64(R_M | 2);
	ASSERT_EQ(sizeof(piece), write(to, &piece, sizeof(piece)));
	ASSERT_EQ(H_SUCCESS, h_read(&self->to, 7, &v, &r));
	ASSERT_EQ(0x1234ULL << 12 | V_VALID, v);
	close(fd);
	close(to);
}

/* The guest changes its table, and the host takes pages, while it is read. */
struct changer {
	struct hpt_guest *g;
	volatile bool stop;
	unsigned int rounds;
};

static void *change(void *arg)
{
	struct changer *c = arg;
	uint64_t slbv = SLB | (page_size > 4096 ? SLB_64K : 0), gpr[9];
	struct umbra_hpt_access a;
	unsigned int i;

	for (i = 0; !c->stop; i++) {
		uint64_t ea = DATA + (i * 7 % 64) * page_size;

		if (enter_page(c->g, ea, 0x100000 + (i % 16) * page_size, R_M | 2))
			h_remove(&c->g->vm, 0, page_index(c->g, ea), 0, NULL, NULL);
		hpt_store(&c->g->vm, ea, slbv, i, &a);
		memcpy(gpr, (uint64_t[9]) { H_PROTECT, 2 + i % 2, page_index(c->g, ea) },
		       sizeof(gpr));
		hcall(&c->g->vm, gpr);
		if (!(i % 5))
			madvise(c->g->vm.mem + 0x100000 + (i % 16) * page_size, page_size,
				MADV_DONTNEED);
	}
	c->rounds = i;
	return NULL;
}

TEST_F_TIMEOUT(htab, changed_under_fire, 120)
{
	struct changer changer = { &self->g };
	int fd = htab_fd(&self->g.vm, 0, 0), to, pass;
	struct counts c;
	pthread_t thread;
	unsigned int seen = 0;

	to = htab_fd(&self->to, KVM_GET_HTAB_WRITE, 0);
	pthread_create(&thread, NULL, change, &changer);
	for (pass = 0; pass < 100; pass++) {
		ASSERT_LE(0, transfer(fd, to, 4096, &c));
		seen += c.valid;
	}
	changer.stop = true;
	pthread_join(thread, NULL);
	ASSERT_LT(100, changer.rounds);
	ASSERT_LT(64, seen);
	/* One may end where the last has stopped. */
	ASSERT_LE(0, transfer(fd, to, 16384, &c));
	ASSERT_LE(0, transfer(fd, to, 16384, &c));
	same_table(_metadata, &self->g.vm, &self->to);
	close(fd);
	close(to);
}

/* guest_sum again and again: each turn adds one to each of eight pages. */
static int turn(struct hpt_guest *g, uint64_t want)
{
	g->regs.gpr[5] = 8;
	g->regs.gpr[6] = DATA;
	g->regs.gpr[7] = page_size;
	if (guest_start(g, MSR_VIRTUAL) != KVM_EXIT_PAPR_HCALL ||
	    g->run->papr_hcall.nr != SAY_DONE)
		return -1;
	return g->run->papr_hcall.args[0] == 8 * want ? 0 : -2;
}

TEST_F(htab, a_guest_goes_on_in_another_vm)
{
	struct hpt_guest two = { .vm = self->to };
	struct counts c;
	int fd, to;

	if (!self->runs)
		SKIP(return, "no guest can run here");
	put_code(&self->g, guest_sum, (char *)guest_sum_end - (char *)guest_sum);
	map_some(_metadata, &self->g, 8);
	ASSERT_EQ(0, turn(&self->g, 1));
	fd = htab_fd(&self->g.vm, 0, 0);
	to = htab_fd(&self->to, KVM_GET_HTAB_WRITE, 0);
	ASSERT_LT(0, transfer(fd, to, 16384, &c));
	ASSERT_EQ(0, turn(&self->g, 2));
	ASSERT_LE(0, transfer(fd, to, 16384, &c));
	same_table(_metadata, &self->g.vm, &self->to);
	memcpy(self->to.mem, self->g.vm.mem, self->to.pages * page_size);
	two.runner = two.vm.vcpu;
	two.run = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, two.runner, 0);
	ASSERT_NE(MAP_FAILED, two.run);
	guest_segment(two.runner);
	ASSERT_EQ(0, turn(&two, 3));
	ASSERT_EQ(0, turn(&two, 4));
	ASSERT_EQ(0, turn(&self->g, 3));
	munmap(two.run, page_size);
	close(fd);
	close(to);
}

static int resize(struct hpt_vm *vm, unsigned long step, unsigned int order)
{
	struct kvm_ppc_resize_hpt request = { .shift = order };
	int ret = ioctl(vm->fd, step, &request);

	if (!ret && step == KVM_PPC_RESIZE_HPT_COMMIT)
		vm->entries = 1ULL << (order - 4);
	return ret ? -errno : 0;
}

static int resize_to(struct hpt_vm *vm, unsigned int order)
{
	int ret = resize(vm, KVM_PPC_RESIZE_HPT_PREPARE, order);

	return ret ? ret : resize(vm, KVM_PPC_RESIZE_HPT_COMMIT, order);
}

TEST_F(htab, resize_step_by_step)
{
	struct kvm_ppc_resize_hpt request = { .shift = 19, .flags = 1 };
	struct hpt_vm *vm = &self->g.vm;

	ASSERT_EQ(1, ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_SPAPR_RESIZE_HPT));
	ASSERT_EQ(-1, ioctl(vm->fd, KVM_PPC_RESIZE_HPT_PREPARE, &request));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(-EINVAL, resize(vm, KVM_PPC_RESIZE_HPT_PREPARE, 17));
	ASSERT_EQ(-EINVAL, resize(vm, KVM_PPC_RESIZE_HPT_PREPARE, 47));
	ASSERT_EQ(-ENXIO, resize(vm, KVM_PPC_RESIZE_HPT_COMMIT, 19));
	ASSERT_EQ(0, resize(vm, KVM_PPC_RESIZE_HPT_PREPARE, 19));
	ASSERT_EQ(0, resize(vm, KVM_PPC_RESIZE_HPT_PREPARE, 19));
	ASSERT_EQ(-ENXIO, resize(vm, KVM_PPC_RESIZE_HPT_COMMIT, 20));
	ASSERT_EQ(0, resize(vm, KVM_PPC_RESIZE_HPT_PREPARE, 0));
	ASSERT_EQ(-ENXIO, resize(vm, KVM_PPC_RESIZE_HPT_COMMIT, 19));
	ASSERT_EQ(0, resize_to(vm, 20));
	ASSERT_EQ(-ENXIO, resize(vm, KVM_PPC_RESIZE_HPT_COMMIT, 20));
	/* What is prepared and not wanted goes with the VM. */
	ASSERT_EQ(0, resize(vm, KVM_PPC_RESIZE_HPT_PREPARE, 18));
}

/* Every page size and both segments: found again in each size, at the same place of its group. */
TEST_F(htab, resize_keeps_what_the_guest_has)
{
	static const struct { uint64_t slbv, v, r; unsigned int base; } kinds[] = {
		{ 0x123456ULL << 12, 0, 0, 12 },
		{ SLB_1T | 0x12345ULL << 24, 0, 0, 12 },
		{ 0x23456ULL << 12 | SLB_64K, V_LARGE, 0x1000, 16 },
		{ SLB_1T | 0x2345ULL << 24 | SLB_64K, V_LARGE, 0x1000, 16 },
		{ 0x34567ULL << 12, V_LARGE, 0x7000, 12 },
	};
	static const unsigned int orders[] = { 20, 19, 22, 18 };
	struct hpt_vm *vm = &self->g.vm;
	struct umbra_hpt_access a;
	uint64_t at, v, r;
	int i, k, o;

	for (k = 0; k < 5; k++) {
		for (i = 0; i < 30; i++) {
			uint64_t ea = 0x7654321ULL * (i + 1) & 0xffff000 & ~(page_size - 1);
			bool second = i & 1;

			at = hash_group(vm, ea, kinds[k].slbv, second) + k;
			v = hpte_v(ea, kinds[k].slbv) | kinds[k].v;
			v |= second ? V_SECONDARY : 0;
			r = R_M | 2 | kinds[k].r | 1ULL << 40;
			ASSERT_EQ(H_SUCCESS, h_enter(vm, H_EXACT, at, v, r, &at));
		}
	}
	for (o = 0; o < 4; o++) {
		ASSERT_EQ(0, resize_to(vm, orders[o]));
		for (k = 0; k < 5; k++) {
			for (i = 0; i < 30; i++) {
				uint64_t ea = 0x7654321ULL * (i + 1) & 0xffff000 & ~(page_size - 1);

				at = hash_group(vm, ea, kinds[k].slbv, i & 1) + k;
				ASSERT_EQ(H_SUCCESS, h_read(vm, at, &v, &r));
				ASSERT_EQ(hpte_v(ea, kinds[k].slbv) | kinds[k].v | V_VALID |
					  (i & 1 ? V_SECONDARY : 0), v);
				ASSERT_EQ(UMBRA_HPT_MMIO, hpt_load(vm, ea, kinds[k].slbv, &a));
			}
		}
	}
}

/* Two for one place of a smaller table. */
TEST_F(htab, resize_prefers_bolted_ones)
{
	const uint64_t slbv = 0x123456ULL << 12, one = 0x1000, other = 0x1000 | 1 << 24;
	struct hpt_vm *vm = &self->g.vm;
	uint64_t at[2], v, r;

	ASSERT_EQ(0, resize_to(vm, 20));
	ASSERT_NE(hash_group(vm, one, slbv, false), hash_group(vm, other, slbv, false));
	ASSERT_EQ(H_SUCCESS, h_enter(vm, H_EXACT, hash_group(vm, one, slbv, false) + 3,
				     hpte_v(one, slbv), R_M | 2, &at[0]));
	ASSERT_EQ(H_SUCCESS, h_enter(vm, H_EXACT, hash_group(vm, other, slbv, false) + 3,
				     hpte_v(other, slbv) | V_BOLTED, R_M | 2, &at[1]));
	ASSERT_EQ(0, resize_to(vm, 18));
	ASSERT_EQ(hash_group(vm, one, slbv, false), hash_group(vm, other, slbv, false));
	ASSERT_EQ(H_SUCCESS, h_read(vm, hash_group(vm, one, slbv, false) + 3, &v, &r));
	ASSERT_EQ(hpte_v(other, slbv) | V_BOLTED | V_VALID, v);
	/* Both bolted: it stays as large as it is. */
	ASSERT_EQ(0, resize_to(vm, 20));
	ASSERT_EQ(H_SUCCESS, h_enter(vm, H_EXACT, hash_group(vm, one, slbv, false) + 3,
				     hpte_v(one, slbv) | V_BOLTED, R_M | 2, &at[0]));
	ASSERT_EQ(-ENOSPC, resize_to(vm, 18));
	ASSERT_EQ(H_SUCCESS, h_read(vm, at[0], &v, &r));
	ASSERT_EQ(hpte_v(one, slbv) | V_BOLTED | V_VALID, v);
}

/* The table is replaced again and again under a guest that runs on the other CPU. */
static void *run_turns(void *arg)
{
	struct changer *c = arg;

	on_cpu(1);
	for (c->rounds = 0; !c->stop; c->rounds++)
		if (turn(c->g, c->rounds + 1))
			return (void *)1;
	return NULL;
}

TEST_F_TIMEOUT(htab, resize_under_load, 120)
{
	struct changer c = { &self->g };
	pthread_t thread;
	void *bad;
	int i;

	if (!self->runs)
		SKIP(return, "no guest can run here");
	put_code(&self->g, guest_sum, (char *)guest_sum_end - (char *)guest_sum);
	map_some(_metadata, &self->g, 8);
	on_cpu(0);
	pthread_create(&thread, NULL, run_turns, &c);
	for (i = 0; i < 40; i++) {
		ASSERT_EQ(0, resize_to(&self->g.vm, 18 + i % 4));
		if (!(i % 4))
			madvise(self->g.vm.mem + 0x200000, page_size, MADV_DONTNEED);
		usleep(2000);
	}
	c.stop = true;
	pthread_join(thread, &bad);
	ASSERT_EQ(NULL, bad);
	ASSERT_LT(10, c.rounds);
	ASSERT_EQ(0, hpt_violations(&self->g.vm));
}

/* A reader begins anew with a table that was replaced or emptied. */
TEST_F(htab, a_reader_sees_another_table)
{
	struct hpt_vm *vm = &self->g.vm;
	int fd = htab_fd(vm, 0, 0);
	uint32_t order = 18;
	struct counts c;

	map_some(_metadata, &self->g, 8);
	ASSERT_LT(0, transfer(fd, -1, 16384, &c));
	ASSERT_EQ(0, transfer(fd, -1, 16384, &c));
	ASSERT_EQ(0, resize_to(vm, 18));
	ASSERT_LT(0, transfer(fd, -1, 16384, &c));
	ASSERT_EQ(9, c.valid);
	ASSERT_EQ(ENTRIES - 9, c.invalid);
	ASSERT_EQ(0, ioctl(vm->fd, KVM_PPC_ALLOCATE_HTAB, &order));
	ASSERT_LT(0, transfer(fd, -1, 16384, &c));
	ASSERT_EQ(0, c.valid);
	ASSERT_EQ(ENTRIES, c.invalid);
	close(fd);
}

TEST_F(htab, page_sizes)
{
	struct kvm_ppc_smmu_info info;

	ASSERT_EQ(1, ioctl(self->to.fd, KVM_CHECK_EXTENSION, KVM_CAP_PPC_GET_SMMU_INFO));
	memset(&info, 0xaa, sizeof(info));
	ASSERT_EQ(0, ioctl(self->to.fd, KVM_PPC_GET_SMMU_INFO, &info));
	ASSERT_EQ(KVM_PPC_PAGE_SIZES_REAL | KVM_PPC_1T_SEGMENTS, info.flags);
	ASSERT_EQ(32, info.slb_size);
	ASSERT_EQ(12, info.sps[0].page_shift);
	ASSERT_EQ(16, info.sps[1].page_shift);
	ASSERT_EQ(SLB_64K, info.sps[1].slb_enc);
	ASSERT_EQ(24, info.sps[2].page_shift);
	ASSERT_EQ(0, info.sps[3].page_shift);
}

TEST_HARNESS_MAIN
