// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reverse-map chains against a model. No VM and no module: rmap/pte_list.c is a pure
 * data structure and is compiled right into this program.
 *
 * Random additions and removals over several chains are repeated on a plain array
 * that says of each spte which chain it is in. After each step the chain touched is
 * walked and compared; descriptors must balance. Negative control: a chain whose
 * link was damaged must differ from the model.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "kselftest_harness.h"

#include "../../../../rmap/pte_list.c"

#define TABLES 16
#define SPTES (TABLES * 512)
#define CHAINS 5

static u64 *sptes[SPTES];
static int model[SPTES];	/* chain number, or -1 */
static unsigned long length[CHAINS];
static struct umbra_rmap_head chains[CHAINS];
static long descs;

static struct umbra_rmap_desc *spare;

static void setup_tables(void)
{
	int i;

	for (i = 0; i < TABLES; i++) {
		u64 *table = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		int j;

		for (j = 0; j < 512; j++)
			sptes[i * 512 + j] = table + j;
	}
	memset(model, -1, sizeof(model));
	memset(length, 0, sizeof(length));
	memset(chains, 0, sizeof(chains));
	descs = 0;
	spare = NULL;
}

static void add(int spte, int chain)
{
	if (!spare)
		spare = malloc(sizeof(*spare));
	if (umbra_rmap_add(&chains[chain], sptes[spte], spare)) {
		spare = NULL;
		descs++;
	}
	model[spte] = chain;
	length[chain]++;
}

static void del(int spte)
{
	struct umbra_rmap_desc *freed = umbra_rmap_remove(sptes[spte]);

	if (freed) {
		descs--;
		free(freed);
	}
	length[model[spte]]--;
	model[spte] = -1;
}

static int number_of(u64 *sptep)
{
	int i;

	for (i = 0; i < SPTES; i += 512)
		if (sptep >= sptes[i] && sptep < sptes[i] + 512)
			return i + (sptep - sptes[i]);
	return -1;
}

/* Does the chain hold exactly the sptes that the model says? */
static bool agrees(int chain)
{
	static unsigned char seen[SPTES];
	struct umbra_rmap_iter iter;
	unsigned long count = 0;
	u64 *sptep;

	memset(seen, 0, sizeof(seen));
	umbra_rmap_for_each(&chains[chain], &iter, sptep) {
		int spte = number_of(sptep);

		if (spte < 0 || model[spte] != chain || seen[spte]++)
			return false;
		if (umbra_rmap_head_of(sptep) != &chains[chain])
			return false;
		count++;
	}
	return count == length[chain] && umbra_rmap_count(&chains[chain]) == count;
}

FIXTURE(rmap) {};
FIXTURE_SETUP(rmap) { setup_tables(); }
FIXTURE_TEARDOWN(rmap) { }

TEST_F(rmap, random_against_model)
{
	int step;

	srand(1);
	for (step = 0; step < 60000; step++) {
		int spte = rand() % SPTES;
		/* Phases of growth and of decay, so that chains get long and empty. */
		bool grow = step / 10000 % 2 == 0;
		int chain = rand() % (rand() % 4 ? 2 : CHAINS);

		if (model[spte] < 0 && (grow || rand() % 8 == 0)) {
			add(spte, chain);
		} else if (model[spte] >= 0 && (!grow || rand() % 8 == 0)) {
			chain = model[spte];
			del(spte);
		} else {
			continue;
		}
		if (step % 64 == 0)
			ASSERT_TRUE(agrees(chain));
	}
	for (step = 0; step < CHAINS; step++)
		ASSERT_TRUE(agrees(step));
	for (step = 0; step < SPTES; step++)
		if (model[step] >= 0)
			del(step);
	for (step = 0; step < CHAINS; step++)
		EXPECT_EQ(0, chains[step].val);
	EXPECT_EQ(0, descs);
}

TEST_F(rmap, one_and_many)
{
	add(7, 0);
	EXPECT_EQ((unsigned long)sptes[7], chains[0].val);
	EXPECT_EQ(0, descs);
	add(9, 0);
	EXPECT_EQ(1, descs);
	del(7);
	EXPECT_EQ((unsigned long)sptes[9], chains[0].val);
	EXPECT_EQ(0, descs);
	EXPECT_TRUE(agrees(0));
	del(9);
	EXPECT_EQ(0, chains[0].val);
	EXPECT_EQ(NULL, umbra_rmap_head_of(sptes[9]));
}

TEST_F(rmap, damage_is_seen)
{
	int i;

	for (i = 0; i < 40; i++)
		add(i, 0);
	ASSERT_TRUE(agrees(0));
	*umbra_rmap_link(sptes[20]) = (unsigned long)&chains[1] | SINGLE;
	EXPECT_FALSE(agrees(0));
}

TEST_HARNESS_MAIN
