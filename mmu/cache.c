// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page-table pages allocated before mmu->lock is taken.
 *
 * Invariants
 * - A page in a cache is zeroed, counted in mmu->stat.tables and known to nobody
 *   else.
 * - Taking one from a cache that was topped up cannot fail.
 *
 * Locks: none. A cache has one owner at a time; see struct umbra_cache.
 */
#include <linux/gfp.h>
#include <umbra/mmu.h>

/* Allocation of page-table pages is where a test build injects its failures. */
#ifdef UMBRA_TEST
static atomic64_t fail_in = ATOMIC64_INIT(0);

void umbra_cache_fail_in(u64 n)
{
	atomic64_set(&fail_in, n);
}

static bool fails(void)
{
	return atomic64_read(&fail_in) && !atomic64_dec_return(&fail_in);
}
#else
static bool fails(void)
{
	return false;
}
#endif

/**
 * umbra_table_alloc() - one zeroed page table
 * @mmu: where it is counted
 * @order: of its pages, the first of which is the table
 *
 * Charged to the memory cgroup of the caller. Sleeps. Return: NULL without memory.
 */
void *umbra_table_alloc(struct umbra_mmu *mmu, unsigned int order)
{
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_ZERO;
	void *table;

	if (fails())
		return NULL;
	/* Who asks for that much does with less. */
	if (order > PAGE_ALLOC_COSTLY_ORDER)
		gfp |= __GFP_NOWARN | __GFP_RETRY_MAYFAIL;
	table = (void *)__get_free_pages(gfp, order);
	if (table)
		atomic64_inc(&mmu->stat.tables);
	return table;
}

/**
 * umbra_table_free() - free a page table
 * @mmu: where it was counted
 * @table: unlinked, with no walker left
 * @order: as it was allocated
 */
void umbra_table_free(struct umbra_mmu *mmu, void *table, unsigned int order)
{
	virt_to_page(table)->private = 0;
	free_pages((unsigned long)table, order);
	atomic64_dec(&mmu->stat.tables);
}

/**
 * umbra_cache_topup() - fill a cache
 * @mmu: whose pages they become
 * @cache: the cache, owned by the caller
 * @min: objects that must be there
 *
 * Return: 0, or -ENOMEM with what was there still there.
 */
int umbra_cache_topup(struct umbra_mmu *mmu, struct umbra_cache *cache,
		      unsigned int min)
{
	if (likely(cache->count >= min))
		return 0;
	while (cache->count < UMBRA_CACHE_MAX) {
		void *table = umbra_table_alloc(mmu, 0);

		if (!table)
			return cache->count >= min ? 0 : -ENOMEM;
		cache->objects[cache->count++] = table;
	}
	return 0;
}

/**
 * umbra_cache_take() - a page from a cache that is not empty
 * @cache: the cache
 */
void *umbra_cache_take(struct umbra_cache *cache)
{
	return cache->objects[--cache->count];
}

/**
 * umbra_cache_give_back() - return a page that turned out not to be needed
 * @cache: where it was taken from
 * @table: still zeroed
 */
void umbra_cache_give_back(struct umbra_cache *cache, void *table)
{
	cache->objects[cache->count++] = table;
}

/**
 * umbra_cache_empty() - free what a cache holds
 * @mmu: where the pages are counted
 * @cache: the cache
 */
void umbra_cache_empty(struct umbra_mmu *mmu, struct umbra_cache *cache)
{
	while (cache->count)
		umbra_table_free(mmu, umbra_cache_take(cache), 0);
}
