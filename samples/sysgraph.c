// SPDX-License-Identifier: GPL-2.0
/*
 * A graph on a collected heap: nothing in it is ever freed, and objects that cannot be
 * reached any more are collected, cycles and all, while threads go on changing the graph.
 *
 *	insmod kmheap.ko && insmod sysgraph.ko
 *	cd /sys/kernel/debug/sysgraph
 *	echo /bus > lines			# a node
 *	echo /bus/pci > lines			# another one, child of the first
 *	echo "/bus/pci/up -> /bus" > lines	# a link: now there is a cycle
 *	echo -/bus > lines			# cuts an edge, and that is all
 *	echo collect > lines			# fails if anything was lost or kept
 *	cat figures
 *
 * Fed with the files and links of sysfs, each line a write of its own, it holds the kernel's
 * own devices, drivers, buses and classes. "start" makes threads move links about until
 * "stop".
 *
 * 1. Nodes, edges and names are objects of one heap; names are data. The roots lie
 *    outside: the top of all paths, and a hand for each thread.
 * 2. The graph is changed in sections only: graph_world held for reading. Pointers into
 *    the heap are in local variables for no longer than a section.
 * 3. A collection begins and ends with graph_world held for writing, so without
 *    sections. Between the two it marks while sections run.
 * 4. A section may move an edge from a node that marking has yet to look at to one
 *    that it has done with. So everything that is put into the graph meanwhile is marked
 *    (graph_push(), the write barrier). New objects are live and need no mark.
 * 5. Any number of sections push and pop edges without a lock. A popped edge is not
 *    handed out again while a section may have seen it, so a compare-and-exchange
 *    takes no edge for another, and a section that still stands on it finds its successor.
 */
#include <linux/debugfs.h>
#include <linux/jhash.h>
#include <linux/kmheap.h>
#include <linux/kthread.h>
#include <linux/llist.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/rwsem.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#define GRAPH_THREADS	2
#define GRAPH_HELD	64		/* links that a thread moves at a time */
#define GRAPH_TICKETS	8192		/* nodes with a finalizer and a weak handle */

struct graph_node {
	u64 id;				/* unique for ever */
	u32 seen;			/* number of the last check that reached it */
	struct graph_ticket *ticket;	/* outside the heap; NULL for most */
	struct llist_head edges;
	struct llist_node gray;		/* reached, but its edges not looked at yet */
};

struct graph_edge {
	struct graph_node *to;
	u64 to_id;
	struct graph_node *home;	/* of a link in a hand, else NULL */
	char *name;
	u32 name_hash;
	u32 seen;			/* as in nodes */
	bool link;			/* a link, not an edge to a child */
	struct llist_node next;		/* lists of edges point here, inside the object */
};

/* Tells what became of a node without reaching it. */
struct graph_ticket {
	struct kmheap_weak *weak;
	atomic_t finalized;
};

/* What the last collection and the check after it have found. */
static struct graph_figures {
	s64 nodes, edges;		/* reached */
	s64 live_objects;		/* by the figures of the heap */
	s64 made;			/* objects, from begin to end */
	s64 shaded;			/* objects that the write barrier has marked */
	s64 dropped;			/* objects that sections let go since begin */
	s64 lost;			/* reached, but with other contents */
	s64 kept;			/* live, neither reached nor dropped since begin */
	s64 tickets, reached_tickets, finalized, wrong_tickets;
} graph_figures;

static DEFINE_MUTEX(graph_mutex);	/* for all commands but adding; outermost */
static DECLARE_RWSEM(graph_world);
static struct kmheap *graph_heap;
static struct graph_node graph_roots[1 + GRAPH_THREADS];
static struct task_struct *graph_threads[GRAPH_THREADS];
static bool graph_marking;		/* written with graph_world held for writing */
static LLIST_HEAD(graph_gray);
static struct graph_ticket graph_tickets[GRAPH_TICKETS];
static atomic_t graph_issued;		/* tickets */
static u32 graph_checks;
static atomic64_t graph_last_id, graph_shaded, graph_dropped;
static struct dentry *graph_dir;

/* Call @fn for all nodes that the roots lead to, as far as @fn makes them gray. */
static void graph_each(void (*fn)(const struct graph_node *node), bool roots)
{
	struct llist_node *batch;
	struct graph_node *node;

	for (node = graph_roots; roots && node < graph_roots + ARRAY_SIZE(graph_roots); node++)
		fn(node);
	while ((batch = llist_del_all(&graph_gray))) {
		llist_for_each_entry(node, batch, gray) {
			fn(node);
			cond_resched();
		}
	}
}

/* These return how many objects had no mark yet. */
static unsigned int graph_mark_node(struct graph_node *node)
{
	if (!kmheap_mark(graph_heap, node))
		return 0;
	llist_add(&node->gray, &graph_gray);
	return 1;
}

static unsigned int graph_mark_edge(const struct graph_edge *edge)
{
	return kmheap_mark(graph_heap, &edge->next) + kmheap_mark(graph_heap, edge->name) +
	       graph_mark_node(edge->to) + (edge->home ? graph_mark_node(edge->home) : 0);
}

static void graph_mark_edges(const struct graph_node *node)
{
	struct graph_edge *edge;

	llist_for_each_entry(edge, READ_ONCE(node->edges.first), next)
		graph_mark_edge(edge);
}

/* ---- changing the graph; all of it in a section */

static void graph_push(struct graph_node *from, struct graph_edge *edge)
{
	if (graph_marking)
		atomic64_add(graph_mark_edge(edge), &graph_shaded);
	llist_add(&edge->next, &from->edges);
}

/* When memory runs out nothing is undone: what was allocated is garbage. */
static struct graph_edge *graph_edge_new(struct graph_node *to, const char *name, bool link)
{
	struct graph_edge *edge = kmheap_zalloc(graph_heap, sizeof(*edge), GFP_KERNEL);

	if (!edge)
		return NULL;
	edge->to = to;
	edge->to_id = to->id;
	edge->link = link;
	edge->name_hash = jhash(name, strlen(name), 0);
	edge->name = kmheap_strdup(graph_heap, name, GFP_KERNEL);
	return edge->name ? edge : NULL;
}

static struct graph_node *graph_node_new(void)
{
	struct graph_node *node = kmheap_zalloc(graph_heap, sizeof(*node), GFP_KERNEL);

	if (node)
		node->id = atomic64_inc_return(&graph_last_id);
	return node;
}

/* Take the edge that was pushed last, if it is a link. */
static struct graph_edge *graph_pop_link(struct graph_node *node)
{
	struct llist_node *first = READ_ONCE(node->edges.first);
	struct graph_edge *edge;

	do {
		edge = first ? llist_entry(first, struct graph_edge, next) : NULL;
		if (!edge || !edge->link)
			return NULL;
	} while (!try_cmpxchg(&node->edges.first, &first, first->next));
	return edge;
}

/*
 * Move a link to @hand, or from there back to where it was. A new edge is used, because other
 * sections may stand on the old one.
 */
static bool graph_move(struct graph_node *from, struct graph_node *hand)
{
	struct graph_edge *edge = kmheap_alloc(graph_heap, sizeof(*edge), GFP_KERNEL);
	struct graph_edge *old = edge && from ? graph_pop_link(from) : NULL;

	atomic64_inc(&graph_dropped);	/* one of the two edges */
	if (!old)
		return false;
	*edge = *old;
	edge->home = hand ? from : NULL;
	graph_push(hand ?: old->home, edge);
	return true;
}

static struct graph_edge *graph_edge_find(const struct graph_node *node, const char *name,
					  size_t len)
{
	struct graph_edge *edge;

	llist_for_each_entry(edge, READ_ONCE(node->edges.first), next)
		if (!strncmp(edge->name, name, len) && !edge->name[len])
			return edge;
	return NULL;
}

/* Find a node; "" is the top. After objects were lost the graph is not entered any more. */
static struct graph_node *graph_find(const char *path)
{
	struct graph_node *node = graph_figures.lost ? NULL : graph_roots;
	struct graph_edge *edge;
	size_t len;

	for (; node && *path == '/'; path += len) {
		len = strcspn(++path, "/");
		edge = graph_edge_find(node, path, len);
		if (!edge)
			return NULL;
		node = edge->to;
	}
	return node;
}

static void graph_finalize(void *p, void *arg)
{
	struct graph_node *node = p;	/* whole; objects that it points to need not be */
	struct graph_ticket *ticket = arg;

	atomic_add(node->ticket == ticket ? 1 : 2, &ticket->finalized);
}

static int graph_ticket_issue(struct graph_node *node)
{
	int i = atomic_fetch_add_unless(&graph_issued, 1, GRAPH_TICKETS);

	if (i == GRAPH_TICKETS)
		return 0;
	node->ticket = &graph_tickets[i];
	node->ticket->weak = kmheap_weak_create(node);
	if (IS_ERR(node->ticket->weak))
		return PTR_ERR(node->ticket->weak);
	return kmheap_set_finalizer(node, graph_finalize, node->ticket);
}

/* ---- checking, without the heap's marks and without trust in the graph */

static bool graph_is_live(const void *p, bool data)
{
	struct kmheap_object obj;

	return kmheap_lookup(p, &obj) && obj.heap == graph_heap && obj.base == p &&
	       obj.state == KMHEAP_OBJECT_LIVE && obj.data == data;
}

static bool graph_name_ok(const char *name, u32 hash)
{
	return graph_is_live(name, true) &&
	       jhash(name, strnlen(name, kmheap_size(name)), 0) == hash;
}

static void graph_check_node(struct graph_node *node, struct graph_figures *f)
{
	if (node->seen == graph_checks)
		return;
	node->seen = graph_checks;
	f->nodes++;
	llist_add(&node->gray, &graph_gray);
	if (!node->ticket)
		return;
	f->reached_tickets++;
	f->wrong_tickets += kmheap_weak_get(node->ticket->weak) != node ||
			    atomic_read(&node->ticket->finalized);
}

static void graph_check_edges(const struct graph_node *node)
{
	struct graph_figures *f = &graph_figures;
	struct graph_edge *edge;

	llist_for_each_entry(edge, node->edges.first, next) {
		if (!graph_is_live(edge, false) || edge->seen == graph_checks ||
		    !graph_is_live(edge->to, false) || edge->to->id != edge->to_id ||
		    (edge->home && !graph_is_live(edge->home, false))) {
			f->lost++;
			return;
		}
		edge->seen = graph_checks;
		f->lost += !graph_name_ok(edge->name, edge->name_hash);
		f->edges++;
		graph_check_node(edge->to, f);
		if (edge->home)
			graph_check_node(edge->home, f);
	}
}

/* Nodes that were not reached must have been finalized once, and their handles must give NULL. */
static void graph_check_tickets(struct graph_figures *f)
{
	s64 gone = 0, i;
	int n;

	f->tickets = atomic_read(&graph_issued);
	for (i = 0; i < f->tickets; i++) {
		n = atomic_read(&graph_tickets[i].finalized);
		f->finalized += n;
		gone += n == 1 && !kmheap_weak_get(graph_tickets[i].weak);
	}
	f->wrong_tickets += abs(f->tickets - f->reached_tickets - gone);
}

static int graph_check(struct graph_figures *f)
{
	struct kmheap_stats st;
	s64 others;

	*f = (struct graph_figures){ .made = f->made, .shaded = f->shaded };
	graph_checks++;
	graph_each(graph_check_edges, true);
	graph_check_tickets(f);

	kmheap_stats(graph_heap, &st);
	f->live_objects = st.live_objects;
	f->dropped = atomic64_read(&graph_dropped);
	others = f->live_objects - f->nodes - 2 * f->edges;
	f->lost += max(-others, 0LL);
	f->kept = f->lost ? 0 : max(others - f->dropped, 0LL);
	return f->lost || f->kept || f->wrong_tickets ? -EUCLEAN : 0;
}

static u64 graph_allocs(void)
{
	struct kmheap_stats st;

	kmheap_stats(graph_heap, &st);
	return st.allocs;
}

static int graph_collect(struct graph_figures *f)
{
	int err;

	if (f->lost)
		return -EUCLEAN;
	down_write(&graph_world);
	err = kmheap_collect_begin(graph_heap);
	graph_marking = !err;
	atomic64_set(&graph_dropped, 0);
	atomic64_set(&graph_shaded, 0);
	f->made = -graph_allocs();
	up_write(&graph_world);
	if (err)
		return err;

	graph_each(graph_mark_edges, true);
	down_write(&graph_world);
	graph_each(graph_mark_edges, false);	/* objects that the last sections marked */
	graph_marking = false;
	f->made += graph_allocs();
	f->shaded = atomic64_read(&graph_shaded);
	err = kmheap_collect_end(graph_heap);
	up_write(&graph_world);

	kmheap_rcu_barrier(graph_heap);
	down_write(&graph_world);
	err = err ?: graph_check(f);
	up_write(&graph_world);
	return err;
}

/* ---- threads */

/* Go some edges into the graph, and return the last node that has a link to pop. */
static struct graph_node *graph_stroll(struct rnd_state *rnd)
{
	struct graph_node *node = graph_roots, *found = NULL;
	struct llist_node *edge = READ_ONCE(node->edges.first);
	unsigned int steps, skip;

	for (steps = 1 + prandom_u32_state(rnd) % 16; edge && steps; steps--) {
		for (skip = prandom_u32_state(rnd) % 64; skip && edge->next; skip--)
			edge = edge->next;
		node = llist_entry(edge, struct graph_edge, next)->to;
		edge = READ_ONCE(node->edges.first);
		if (edge && llist_entry(edge, struct graph_edge, next)->link)
			found = node;
	}
	return found;
}

/* Make a node that points to itself: garbage that no reference count would give back. */
static void graph_litter(void)
{
	struct graph_node *node = graph_node_new();
	struct graph_edge *edge = node ? graph_edge_new(node, "self", true) : NULL;

	if (edge)
		graph_push(node, edge);
	atomic64_add(3, &graph_dropped);
}

static int graph_thread(void *hand)
{
	struct rnd_state rnd;
	unsigned int i;

	prandom_seed_state(&rnd, (unsigned long)hand);
	while (!kthread_should_stop()) {
		down_read(&graph_world);
		for (i = 0; i < GRAPH_HELD && !graph_figures.lost; i++) {
			graph_move(graph_stroll(&rnd), hand);
			graph_litter();
		}
		up_read(&graph_world);
		cond_resched();
		down_read(&graph_world);
		while (!graph_figures.lost && graph_move(hand, NULL))
			;
		up_read(&graph_world);
		cond_resched();
	}
	return 0;
}

static int graph_run(bool run)
{
	struct task_struct *thread;
	unsigned int i;

	for (i = 0; i < GRAPH_THREADS; i++) {
		if (graph_threads[i])
			kthread_stop(graph_threads[i]);
		graph_threads[i] = NULL;
		if (!run)
			continue;
		thread = kthread_run(graph_thread, &graph_roots[1 + i], "sysgraph/%u", i);
		if (IS_ERR(thread))
			return PTR_ERR(thread);
		graph_threads[i] = thread;
	}
	return 0;
}

/* ---- lines */

/* Refused while hands hold links, which could go back to nodes that are cut off by then. */
static int graph_cut(char *path)
{
	char *name = strrchr(path, '/');
	struct graph_edge *edge = NULL;
	struct llist_node **from;
	struct graph_node *node;

	if (graph_threads[0])
		return -EBUSY;
	*name++ = '\0';
	down_write(&graph_world);
	node = graph_find(path);
	if (node)
		edge = graph_edge_find(node, name, strlen(name));
	if (edge) {
		for (from = &node->edges.first; *from != &edge->next;)
			from = &(*from)->next;
		*from = edge->next.next;
	}
	up_write(&graph_world);
	return edge ? 0 : -ENOENT;
}

/* Add a new child, or with @target a link to a node that exists. */
static int graph_add(char *path, const char *target)
{
	char *name = strrchr(path, '/');
	struct graph_node *from, *to;
	struct graph_edge *edge;
	int err = -ENOENT;

	*name++ = '\0';
	down_read(&graph_world);
	from = graph_find(path);
	to = target ? graph_find(target) : NULL;
	if (from && !target == !to) {
		to = to ?: graph_node_new();
		edge = to ? graph_edge_new(to, name, target) : NULL;
		err = edge ? 0 : -ENOMEM;
		if (edge)
			graph_push(from, edge);
		else
			atomic64_add(3, &graph_dropped);
		if (edge && !target && to->id % 4 == 0)
			err = graph_ticket_issue(to);
	}
	up_read(&graph_world);
	return err;
}

static int graph_line(char *line)
{
	char *target = strstr(line, " -> /");
	int err = -EINVAL;

	if (target)
		*target = '\0';
	if (*line == '/')
		return graph_add(line, target ? target + strlen(" -> ") : NULL);
	mutex_lock(&graph_mutex);
	if (!strncmp(line, "-/", 2))
		err = graph_cut(line + 1);
	else if (!strcmp(line, "collect"))
		err = graph_collect(&graph_figures);
	else if (!strcmp(line, "start") || !strcmp(line, "stop"))
		err = graph_run(!strcmp(line, "start"));
	mutex_unlock(&graph_mutex);
	return err;
}

/* One line for each write, so that no half of a line has to be kept. */
static ssize_t graph_write(struct file *filp, const char __user *from, size_t bytes, loff_t *pos)
{
	char *line = bytes <= PAGE_SIZE ? memdup_user_nul(from, bytes) : ERR_PTR(-E2BIG);
	int err = -EINVAL;

	if (IS_ERR(line))
		return PTR_ERR(line);
	if (bytes && strchrnul(line, '\n') == line + bytes - 1) {
		line[bytes - 1] = '\0';
		err = graph_line(line);
	}
	kfree(line);
	return err ?: bytes;
}

static const struct file_operations graph_lines_fops = {
	.owner = THIS_MODULE,
	.write = graph_write,
	.llseek = noop_llseek,
};

static int graph_figures_show(struct seq_file *m, void *unused)
{
	const struct graph_figures *f = &graph_figures;

	mutex_lock(&graph_mutex);
	seq_printf(m, "nodes %lld\nedges %lld\nlive_objects %lld\nmade_meanwhile %lld\n"
		   "marked_by_barrier %lld\ndropped %lld\nkept %lld\nlost %lld\n"
		   "tickets %lld\nfinalized %lld\nwrong_tickets %lld\n",
		   f->nodes, f->edges, f->live_objects, f->made, f->shaded, f->dropped, f->kept,
		   f->lost, f->tickets, f->finalized, f->wrong_tickets);
	mutex_unlock(&graph_mutex);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(graph_figures);

static int __init graph_init(void)
{
	const struct kmheap_attr attr = { .flags = KMHEAP_COLLECTED, .owner = THIS_MODULE };

	graph_heap = kmheap_create("sysgraph", &attr);
	if (IS_ERR(graph_heap))
		return PTR_ERR(graph_heap);
	graph_dir = debugfs_create_dir("sysgraph", NULL);
	debugfs_create_file("lines", 0200, graph_dir, NULL, &graph_lines_fops);
	debugfs_create_file("figures", 0400, graph_dir, NULL, &graph_figures_fops);
	return 0;
}

/* Without roots everything is garbage; kmheap_destroy() would report what was not collected. */
static void __exit graph_exit(void)
{
	int i;

	debugfs_remove(graph_dir);
	graph_run(false);
	memset(graph_roots, 0, sizeof(graph_roots));
	graph_figures.lost = 0;
	graph_collect(&graph_figures);
	for (i = 0; i < atomic_read(&graph_issued); i++)
		kmheap_weak_destroy(graph_tickets[i].weak);
	kmheap_destroy(graph_heap);
}

module_init(graph_init);
module_exit(graph_exit);
MODULE_DESCRIPTION("kmheap sample: a graph that is collected");
MODULE_LICENSE("GPL");
