/* reassembly.c: keeps out-of-order ranges sorted and merged, and chooses the SACK blocks of an ACK. */
#include "tcp/reassembly.h"

#include "wire/seq.h"

/* The link that leads to the first range: the connection's, or that of the duplicate in front. */
static uint32_t *first_link(struct tcp_engine *e, struct tcp_connection *c)
{
    return tcp_has(c, TCP_DSACK_PENDING) ? &e->nodes[c->ranges].next : &c->ranges;
}

bool reassembly_is_empty(const struct tcp_engine *e, const struct tcp_connection *c)
{
    return reassembly_first(e, c) == 0;
}

static void report_forget(struct tcp_engine *e, struct tcp_connection *c)
{
    const uint32_t index = c->ranges;

    if (tcp_has(c, TCP_DSACK_PENDING)) {
        c->ranges = e->nodes[index].next;
        c->flags &= ~(uint32_t)TCP_DSACK_PENDING;
        pool_give(&e->node_pool, index);
    }
}

static void ranges_age(struct tcp_engine *e, const struct tcp_connection *c)
{
    for (uint32_t i = reassembly_first(e, c); i != 0; i = e->nodes[i].next) {
        const uint32_t stamp = e->nodes[i].stamp;
        e->nodes[i].stamp = stamp > UINT32_MAX / 2 ? stamp - UINT32_MAX / 2 : 0;
    }
}

/* A stamp newer than that of any range, and how many there are. */
static uint32_t stamp_new(struct tcp_engine *e, const struct tcp_connection *c, uint32_t *count)
{
    uint32_t newest = 0;

    *count = 0;
    for (uint32_t i = reassembly_first(e, c); i != 0; i = e->nodes[i].next) {
        newest = e->nodes[i].stamp > newest ? e->nodes[i].stamp : newest;
        *count += 1;
    }
    if (newest == UINT32_MAX) {
        ranges_age(e, c);
        newest -= UINT32_MAX / 2;
    }
    return newest + 1;
}

/* Puts a new range where *link leads; false when no node is left. */
static bool range_insert(struct tcp_engine *e, uint32_t *link, uint32_t left, uint32_t right, uint32_t stamp)
{
    const uint32_t index = pool_take(&e->node_pool);

    if (index == 0) {
        e->statistics.no_nodes++;
        return false;
    }
    e->nodes[index] = (struct tcp_node){.next = *link, .left = left, .right = right, .stamp = stamp};
    *link = index;
    return true;
}

/* The part of left .. right that a range holds. */
static void fit_duplicate(struct reassembly_fit *fit, const struct tcp_node *node, uint32_t left,
                          uint32_t right)
{
    fit->dup = (struct tcp_block){seq_max(left, node->left), seq_min(right, node->right)};
    fit->is_duplicate = seq_lt(fit->dup.left, fit->dup.right);
}

/* The first run of left .. right that no range holds; node is the first that ends at left or beyond, or NULL. */
static struct reassembly_fit fit_of(const struct tcp_engine *e, const struct tcp_node *node, uint32_t left,
                                    uint32_t right)
{
    struct reassembly_fit fit = {.left = left, .right = right};

    if (node != NULL) {
        fit_duplicate(&fit, node, left, right);
        if (seq_ge(left, node->left)) {
            fit.left = node->right;
            node = node->next != 0 ? &e->nodes[node->next] : NULL;
        }
    }
    if (node != NULL) {
        fit.right = seq_min(right, node->left);
    }
    fit.is_kept = seq_lt(fit.left, fit.right);
    return fit;
}

/* Takes a run that starts at or before the range, or ends it, into the range; then it may touch the next one. */
static void range_grow(struct tcp_engine *e, struct tcp_node *node, const struct reassembly_fit *fit)
{
    const uint32_t next = node->next;

    node->left = seq_min(node->left, fit->left);
    node->right = seq_max(node->right, fit->right);
    if (next != 0 && e->nodes[next].left == node->right) {
        node->right = e->nodes[next].right;
        node->next = e->nodes[next].next;
        pool_give(&e->node_pool, next);
    }
}

/* The link to the first range that ends at `left` or beyond. */
static uint32_t *link_at(struct tcp_engine *e, struct tcp_connection *c, uint32_t left)
{
    uint32_t *link = first_link(e, c);

    while (*link != 0 && seq_lt(e->nodes[*link].right, left)) {
        link = &e->nodes[*link].next;
    }
    return link;
}

struct reassembly_fit reassembly_add(struct tcp_engine *e, struct tcp_connection *c, uint32_t left,
                                     uint32_t right)
{
    uint32_t *link = link_at(e, c, left);
    struct tcp_node *node = *link != 0 ? &e->nodes[*link] : NULL;
    struct reassembly_fit fit = {.left = left, .right = left};
    uint32_t count, stamp;

    if (!seq_lt(left, right)) {
        return fit;
    }
    fit = fit_of(e, node, left, right);
    stamp = stamp_new(e, c, &count);
    if (node != NULL && seq_ge(right, node->left)) {
        if (fit.is_kept) {
            range_grow(e, node, &fit);
        }
        node->stamp = stamp;
    } else {
        fit.is_short = pool_left(&e->node_pool) == 0;
        fit.is_kept = count < e->config.ranges_per_connection && range_insert(e, link, left, right, stamp);
    }
    return fit;
}

struct reassembly_fit reassembly_fit_in_order(const struct tcp_engine *e, const struct tcp_connection *c,
                                              uint32_t left, uint32_t right)
{
    const uint32_t first = reassembly_first(e, c);

    return fit_of(e, first != 0 ? &e->nodes[first] : NULL, left, right);
}

uint32_t reassembly_advance(struct tcp_engine *e, struct tcp_connection *c, uint32_t next)
{
    uint32_t *link = first_link(e, c);

    while (*link != 0 && seq_le(e->nodes[*link].left, next)) {
        const uint32_t index = *link;
        next = seq_max(next, e->nodes[index].right);
        *link = e->nodes[index].next;
        pool_give(&e->node_pool, index);
    }
    return next;
}

void reassembly_report_duplicate(struct tcp_engine *e, struct tcp_connection *c, uint32_t left,
                                 uint32_t right)
{
    if (!tcp_has(c, TCP_HAS_SACK) || !seq_lt(left, right)) {
        return;
    }
    report_forget(e, c);
    if (range_insert(e, &c->ranges, left, right, 0)) {
        c->flags |= TCP_DSACK_PENDING;
    }
}

static struct tcp_block block_of(const struct tcp_node *node)
{
    return (struct tcp_block){node->left, node->right};
}

/* Puts the node among at most `limit` indices that are sorted by falling stamp. */
static uint32_t recent_insert(const struct tcp_engine *e, uint32_t *recent, uint32_t count, uint32_t limit,
                              uint32_t index)
{
    uint32_t at = count;

    while (at > 0 && e->nodes[recent[at - 1]].stamp < e->nodes[index].stamp) {
        if (at < limit) {
            recent[at] = recent[at - 1];
        }
        at--;
    }
    if (at < limit) {
        recent[at] = index;
        count += count < limit;
    }
    return count;
}

/* The range around a block, so that it follows a D-SACK that lies in it (RFC 2883 4, second kind); 0: none. */
static uint32_t range_around(const struct tcp_engine *e, const struct tcp_connection *c,
                             const struct tcp_block *block)
{
    uint32_t i = reassembly_first(e, c);

    while (i != 0 && seq_le(e->nodes[i].right, block->left)) {
        i = e->nodes[i].next;
    }
    return i != 0 && seq_le(e->nodes[i].left, block->left) && seq_le(block->right, e->nodes[i].right) ? i : 0;
}

/* The D-SACK block and the one around it. */
static uint32_t blocks_duplicate(struct tcp_engine *e, struct tcp_connection *c, struct tcp_block *blocks,
                                 uint32_t limit, uint32_t *around)
{
    uint32_t count = 0;

    if (tcp_has(c, TCP_DSACK_PENDING) && limit > 0) {
        blocks[count++] = block_of(&e->nodes[c->ranges]);
        report_forget(e, c);
        *around = range_around(e, c, &blocks[0]);
        if (*around != 0 && count < limit) {
            blocks[count++] = block_of(&e->nodes[*around]);
        }
    }
    return count;
}

uint32_t reassembly_blocks(struct tcp_engine *e, struct tcp_connection *c, struct tcp_block *blocks,
                           uint32_t limit)
{
    uint32_t recent[TCP_SACK_BLOCKS], count, found = 0, around = 0;

    limit = limit < TCP_SACK_BLOCKS ? limit : TCP_SACK_BLOCKS;
    count = blocks_duplicate(e, c, blocks, limit, &around);
    for (uint32_t i = c->ranges; i != 0; i = e->nodes[i].next) {
        if (i != around) {
            found = recent_insert(e, recent, found, limit - count, i);
        }
    }
    for (uint32_t i = 0; i < found; i++) {
        blocks[count++] = block_of(&e->nodes[recent[i]]);
    }
    return count;
}

void reassembly_drop(struct tcp_engine *e, struct tcp_connection *c)
{
    report_forget(e, c);
    while (c->ranges != 0) {
        const uint32_t index = c->ranges;
        c->ranges = e->nodes[index].next;
        pool_give(&e->node_pool, index);
    }
}
