// SPDX-License-Identifier: GPL-2.0
/*
 * What malloc() and free() cost in user space: for orientation beside the kernel's figures, which
 * kmheap_bench.ko takes with the same shapes and sizes.
 *
 *	malloc_bench SIDE ROUNDS
 *
 * SIDE is glibc, or the library that is preloaded: a failed LD_PRELOAD is an error and no figure.
 * Prints a JSON line for each round of each row: ticks an operation, loop included.
 * "KERNEL=userland scripts/bench" builds this, runs the libraries in turn and makes medians of it.
 *
 * pair:    allocates one and frees it, again and again.
 * burst:   allocates many, then frees them in the same order; burst_reverse in reverse order.
 * shuffle: replaces a random one of ten thousand objects, or of 32 MiB of large ones.
 * remote:  allocates many, which another thread on another CPU frees.
 * larson:  every thread replaces random ones of its objects, of 8 to 1,000 bytes, and passes all of
 *          them on to the next one (after P. Larson and M. Krishnan, "Memory allocation for
 *          long-running server applications", 1998).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/types.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WARM_UP		3U	/* rounds before the first that counts */
#define PAIRS		4096U
#define BURST_SMALL	1000U	/* objects of up to BURST_SMALL_MAX bytes, else BURST_LARGE */
#define BURST_LARGE	32U
#define BURST_SMALL_MAX	(8UL << 10)
#define LIVE		10000U	/* of small ones, likewise */
#define LIVE_BYTES	(32UL << 20)	/* in large ones */
#define SHUFFLES	10000U
#define MIN_BYTES	8UL
#define MAX_BYTES	(1024UL << 10)
#define LARSON_SLOTS	5000U
#define LARSON_OPS	10000U
#define LARSON_MAX	1000U
#define MAX_CPUS	64

#ifdef __x86_64__
#define UNIT "cycles"
#else
#define UNIT "ns"
#endif

static const char *side;
static unsigned int rounds;
static void *objects[LIVE];
static int cpus[MAX_CPUS];
static unsigned int ncpus;

static __u64 ticks(void)
{
#ifdef __x86_64__
	__u32 low, high;

	__asm__ volatile("lfence; rdtsc" : "=a" (low), "=d" (high) : : "memory");
	return (__u64)high << 32 | low;
#else
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
#endif
}

static void die(const char *what)
{
	fprintf(stderr, "malloc_bench: %s\n", what);
	exit(1);
}

/* One row of a round that counts; @bytes is 0 where sizes are mixed. */
static void print(unsigned int round, const char *name, const char *op, size_t bytes,
		  unsigned int threads, __u64 spent, unsigned int ops)
{
	if (round < WARM_UP)
		return;
	printf("{\"case\":\"%s\",\"op\":\"%s\",\"bytes\":%zu,\"cpus\":%u,\"side\":\"%s\",",
	       name, op, bytes, threads, side);
	printf("\"unit\":\"" UNIT "\",\"value\":%.2f}\n", (double)spent / ops);
}

/* Allocates and writes the first word, as a client would. */
static inline void *take(size_t bytes)
{
	void *p = malloc(bytes);

	if (!p)
		die("malloc() failed");
	*(long *)p = 1;
	__asm__ volatile("" : : "r" (p) : "memory");
	return p;
}

static void bind_to(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpus[cpu], &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set))
		die("cannot bind a thread to its CPU");
}

/* Not random enough for anything else, and next to free. */
static __u32 draw(__u32 *state, __u32 below)
{
	*state = *state * 1664525 + 1013904223;
	return (__u64)*state * below >> 32;
}

static void pair(unsigned int round, size_t bytes)
{
	__u64 start = ticks();
	unsigned int i;

	for (i = 0; i < PAIRS; i++)
		free(take(bytes));
	print(round, "pair", "var", bytes, 1, ticks() - start, PAIRS);
}

static unsigned int burst_objects(size_t bytes)
{
	return bytes <= BURST_SMALL_MAX ? BURST_SMALL : BURST_LARGE;
}

static __u64 burst_alloc(size_t bytes, unsigned int n)
{
	__u64 start = ticks();
	unsigned int i;

	for (i = 0; i < n; i++)
		objects[i] = take(bytes);
	return ticks() - start;
}

static __u64 burst_free(unsigned int n)
{
	__u64 start = ticks();
	unsigned int i;

	for (i = 0; i < n; i++)
		free(objects[i]);
	return ticks() - start;
}

static __u64 burst_free_reverse(unsigned int n)
{
	__u64 start = ticks();

	while (n--)
		free(objects[n]);
	return ticks() - start;
}

static void print_both(unsigned int round, const char *name, size_t bytes, unsigned int threads,
		       __u64 allocs, __u64 frees, unsigned int n)
{
	print(round, name, "alloc", bytes, threads, allocs, n);
	print(round, name, "free", bytes, threads, frees, n);
	print(round, name, "total", bytes, threads, allocs + frees, n);
}

static void burst(unsigned int round, size_t bytes)
{
	unsigned int n = burst_objects(bytes);
	__u64 alloc = burst_alloc(bytes, n);

	print_both(round, "burst", bytes, 1, alloc, burst_free(n), n);
}

static void burst_reverse(unsigned int round, size_t bytes)
{
	unsigned int n = burst_objects(bytes);
	__u64 alloc = burst_alloc(bytes, n);

	print_both(round, "burst_reverse", bytes, 1, alloc, burst_free_reverse(n), n);
}

static void shuffle(unsigned int round, size_t bytes)
{
	unsigned int i, live = bytes <= BURST_SMALL_MAX ? LIVE : LIVE_BYTES / bytes;
	static __u32 state = 1;
	__u64 start;

	if (!round)
		burst_alloc(bytes, live);
	start = ticks();
	for (i = 0; i < SHUFFLES; i++) {
		void **slot = &objects[draw(&state, live)];

		free(*slot);
		*slot = take(bytes);
	}
	print(round, "shuffle", "replace", bytes, 1, ticks() - start, SHUFFLES);
	if (round == WARM_UP + rounds - 1)
		burst_free(live);
}

/*
 * The thread that frees what the first one allocated. It is there from the beginning, since some
 * libraries do without atomic instructions while there is a single thread.
 */
static struct {
	pthread_t thread;
	pthread_barrier_t begin, end;
	unsigned int nobjs;	/* 0 ends the thread */
	__u64 ticks;
} other;

static void *other_thread(void *unused)
{
	bind_to(1);
	for (;;) {
		pthread_barrier_wait(&other.begin);
		if (!other.nobjs)
			return unused;
		other.ticks = burst_free(other.nobjs);
		pthread_barrier_wait(&other.end);
	}
}

static void other_start(void)
{
	if (pthread_barrier_init(&other.begin, NULL, 2) ||
	    pthread_barrier_init(&other.end, NULL, 2) ||
	    pthread_create(&other.thread, NULL, other_thread, NULL))
		die("cannot start a thread");
}

static void other_stop(void)
{
	other.nobjs = 0;
	pthread_barrier_wait(&other.begin);
	pthread_join(other.thread, NULL);
}

static void remote(unsigned int round, size_t bytes)
{
	unsigned int n = burst_objects(bytes);
	__u64 alloc = burst_alloc(bytes, n);

	other.nobjs = n;
	pthread_barrier_wait(&other.begin);
	pthread_barrier_wait(&other.end);
	print_both(round, "remote", bytes, 2, alloc, other.ticks, n);
}

static struct larson {
	pthread_t thread;
	void *slots[LARSON_SLOTS];
} larsons[MAX_CPUS];
static pthread_barrier_t larson_barrier;
static __u64 larson_sums[MAX_CPUS];

static __u64 larson_round(struct larson *l, __u32 *state)
{
	__u64 start = ticks();
	unsigned int i;

	for (i = 0; i < LARSON_OPS; i++) {
		void **slot = &l->slots[draw(state, LARSON_SLOTS)];

		free(*slot);
		*slot = take(MIN_BYTES + draw(state, LARSON_MAX - MIN_BYTES + 1));
	}
	return ticks() - start;
}

/* In each round a thread works with the objects of its next neighbour in the round before. */
static void *larson_thread(void *data)
{
	unsigned int i, round, cpu = (struct larson *)data - larsons;
	__u32 state = cpu;

	bind_to(cpu);
	for (round = 0; round < WARM_UP + rounds; round++) {
		pthread_barrier_wait(&larson_barrier);
		larson_sums[cpu] = larson_round(&larsons[(cpu + round) % ncpus], &state);
		pthread_barrier_wait(&larson_barrier);
		if (cpu)
			continue;
		for (i = 1; i < ncpus; i++)
			larson_sums[0] += larson_sums[i];
		print(round, "larson", "replace", 0, ncpus, larson_sums[0], ncpus * LARSON_OPS);
	}
	return NULL;
}

static void larson(void)
{
	unsigned int i;

	if (pthread_barrier_init(&larson_barrier, NULL, ncpus))
		die("no barrier");
	for (i = 0; i < ncpus; i++)
		if (pthread_create(&larsons[i].thread, NULL, larson_thread, &larsons[i]))
			die("cannot start a thread");
	for (i = 0; i < ncpus; i++)
		pthread_join(larsons[i].thread, NULL);
}

static void each_size(void (*run)(unsigned int round, size_t bytes))
{
	unsigned int round;
	size_t bytes;

	for (bytes = MIN_BYTES; bytes <= MAX_BYTES; bytes *= 2)
		for (round = 0; round < WARM_UP + rounds; round++)
			run(round, bytes);
}

static void find_cpus(void)
{
	cpu_set_t set;
	int cpu;

	if (sched_getaffinity(0, sizeof(set), &set))
		die("cannot tell the CPUs");
	for (cpu = 0; cpu < CPU_SETSIZE && ncpus < MAX_CPUS; cpu++)
		if (CPU_ISSET(cpu, &set))
			cpus[ncpus++] = cpu;
}

/* Is the library loaded that the figures are to be of, and no other? */
static bool side_is_loaded(void)
{
	static const struct {
		const char *side, *symbol;
	} marks[] = {
		{ "jemalloc", "mallctl" },
		{ "mimalloc", "mi_malloc" },
		{ "tcmalloc", "tc_malloc" },
		{ }
	}, *mark;
	bool known = !strcmp(side, "glibc");

	for (mark = marks; mark->side; mark++) {
		bool named = !strcmp(side, mark->side);

		if (named != !!dlsym(RTLD_DEFAULT, mark->symbol))
			return false;
		known |= named;
	}
	return known;
}

int main(int argc, char **argv)
{
	if (argc != 3 || atoi(argv[2]) <= 0)
		die("usage: malloc_bench SIDE ROUNDS");
	side = argv[1];
	rounds = atoi(argv[2]);
	if (!side_is_loaded())
		die("the library that was named is not the one that is loaded");
	find_cpus();
	bind_to(0);
	if (ncpus > 1)
		other_start();
	each_size(pair);
	each_size(burst);
	each_size(burst_reverse);
	each_size(shuffle);
	if (ncpus > 1) {
		each_size(remote);
		other_stop();
	}
	larson();
	return 0;
}
