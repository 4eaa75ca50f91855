// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 8254 timer of a PC, by Intel's data sheet. Channel 0 drives GSI 0, channel 2 the
 * speaker. Counters are not counted: their value follows from the time of the load.
 *
 * Each tick of channel 0 is a pulse on its line. With reinjection, which a new PIT has,
 * a tick that comes before the guest has ended the last one is kept, and given when it
 * has: a guest that counts ticks keeps its time. When the guest seems to have lost one
 * (it set up its controllers anew), ticks go on after LOST_TICKS.
 *
 * Locks: pit->lock, outside irqchip->pins; the hrtimer's function takes neither but by
 * umbra_gsi_set(), so that the timer can be stopped with pit->lock held.
 */
#include <linux/math64.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <umbra/compat.h>

#include "internal.h"

#define PIT_HZ		1193182
#define CHANNELS	3
#define SPEAKER		2
#define PIT_GSI		0
#define MIN_NS		(200 * NSEC_PER_USEC)
#define LOST_TICKS	50

/* State of a read or write: which byte is next. */
enum { LOW = 1, HIGH, WORD_LOW, WORD_HIGH };

/**
 * struct umbra_pit - the device
 * @irqchip: the VM's
 * @lock: for @channels and @flags
 * @channels: in the form in which KVM_GET_PIT2 gives them
 * @flags: KVM_PIT_FLAGS_*
 * @speaker: port 0x61 is the kernel's
 * @timer: of channel 0
 * @period: its own, in ns; 0 for one shot
 * @reinject: see above
 * @pending: ticks that wait
 * @ready: the guest has ended the last one
 */
struct umbra_pit {
	struct umbra_irqchip *irqchip;
	spinlock_t lock;	/* channels, flags */
	struct kvm_pit_channel_state channels[CHANNELS];
	u32 flags;
	bool speaker;
	struct hrtimer timer;
	u64 period;
	bool reinject;
	atomic_t pending;
	atomic_t ready;
};

static u64 ns_to_ticks(u64 ns)
{
	return mul_u64_u32_div(ns, PIT_HZ, NSEC_PER_SEC);
}

static u64 ticks_to_ns(u64 ticks)
{
	return div_u64(ticks * NSEC_PER_SEC, PIT_HZ);
}

static u64 elapsed(const struct kvm_pit_channel_state *c)
{
	s64 ns = ktime_to_ns(ktime_get()) - c->count_load_time;

	return ns > 0 ? ns_to_ticks(ns) : 0;
}

static u16 counter(const struct kvm_pit_channel_state *c)
{
	u64 ticks = elapsed(c);
	u32 at;

	switch (c->mode) {
	case 0:
	case 1:
	case 4:
	case 5:
		return c->count - ticks;
	case 3:
		/* It counts by two. */
		div_u64_rem(2 * ticks, c->count, &at);
		return c->count - at;
	default:
		div_u64_rem(ticks, c->count, &at);
		return c->count - at;
	}
}

static bool output(const struct kvm_pit_channel_state *c)
{
	u64 ticks = elapsed(c);
	u32 at;

	switch (c->mode) {
	case 0:
		return ticks >= c->count;
	case 1:
		return ticks < c->count;
	case 2:
		div_u64_rem(ticks, c->count, &at);
		return at || !ticks;
	case 3:
		div_u64_rem(ticks, c->count, &at);
		return at < (c->count + 1) / 2;
	default:
		return ticks != c->count;
	}
}

static void pulse(struct umbra_pit *pit)
{
	int r;

	if (READ_ONCE(pit->reinject) && !atomic_xchg(&pit->ready, 0))
		return;
	r = umbra_gsi_set(pit->irqchip, UMBRA_SOURCE_PIT, PIT_GSI, true);
	umbra_gsi_set(pit->irqchip, UMBRA_SOURCE_PIT, PIT_GSI, false);
	/* Nobody has taken it, so nobody will end it. */
	if (r < 0)
		atomic_set(&pit->ready, 1);
}

static enum hrtimer_restart pit_ticks(struct hrtimer *timer)
{
	struct umbra_pit *pit = container_of(timer, struct umbra_pit, timer);

	if (READ_ONCE(pit->reinject) && atomic_inc_return(&pit->pending) > LOST_TICKS) {
		atomic_set(&pit->pending, 1);
		atomic_set(&pit->ready, 1);
	}
	pulse(pit);
	if (!pit->period)
		return HRTIMER_NORESTART;
	hrtimer_forward_now(timer, ns_to_ktime(pit->period));
	return HRTIMER_RESTART;
}

/**
 * umbra_pit_ended() - the guest has ended the timer's interrupt
 * @irqchip: the VM's, with a PIT
 * @gsi: the GSI whose interrupt ended
 *
 * Never sleeps.
 */
void umbra_pit_ended(struct umbra_irqchip *irqchip, u32 gsi)
{
	struct umbra_pit *pit = READ_ONCE(irqchip->pit);

	if (!pit || gsi != PIT_GSI)
		return;
	atomic_set(&pit->ready, 1);
	if (READ_ONCE(pit->reinject) && atomic_dec_if_positive(&pit->pending) > 0)
		pulse(pit);
}

/* pit->lock is held. */
static void start_timer(struct umbra_pit *pit)
{
	struct kvm_pit_channel_state *c = &pit->channels[0];
	u64 ns = ticks_to_ns(c->count);

	hrtimer_cancel(&pit->timer);
	atomic_set(&pit->pending, 0);
	atomic_set(&pit->ready, 1);
	if ((pit->flags & KVM_PIT_FLAGS_HPET_LEGACY) || c->mode == 1 || c->mode == 5)
		return;
	pit->period = c->mode == 2 || c->mode == 3 ? max_t(u64, ns, MIN_NS) : 0;
	hrtimer_start(&pit->timer, ktime_add_ns(ktime_get(), pit->period ?: ns),
		      HRTIMER_MODE_ABS_HARD);
}

static void load(struct umbra_pit *pit, unsigned int n, u32 count)
{
	struct kvm_pit_channel_state *c = &pit->channels[n];

	c->count = count ?: 0x10000;
	c->count_load_time = ktime_to_ns(ktime_get());
	if (n == 0)
		start_timer(pit);
}

static void latch_count(struct kvm_pit_channel_state *c)
{
	if (c->count_latched)
		return;
	c->latched_count = counter(c);
	c->count_latched = c->rw_mode;
}

static void latch_status(struct kvm_pit_channel_state *c)
{
	if (c->status_latched)
		return;
	c->status = output(c) << 7 | c->rw_mode << 4 | c->mode << 1 | c->bcd;
	c->status_latched = 1;
}

static void read_back(struct umbra_pit *pit, u8 val)
{
	unsigned int n;

	for (n = 0; n < CHANNELS; n++) {
		if (!(val & BIT(n + 1)))
			continue;
		if (!(val & BIT(5)))
			latch_count(&pit->channels[n]);
		if (!(val & BIT(4)))
			latch_status(&pit->channels[n]);
	}
}

static void write_control(struct umbra_pit *pit, u8 val)
{
	struct kvm_pit_channel_state *c;
	u8 access = val >> 4 & 3;

	if (val >> 6 == CHANNELS) {
		read_back(pit, val);
		return;
	}
	c = &pit->channels[val >> 6];
	if (!access) {
		latch_count(c);
		return;
	}
	c->rw_mode = access;
	c->read_state = access;
	c->write_state = access;
	c->mode = val >> 1 & 7;
	if (c->mode > 5)
		c->mode &= 3;
	c->bcd = val & 1;
}

static void write_counter(struct umbra_pit *pit, unsigned int n, u8 val)
{
	struct kvm_pit_channel_state *c = &pit->channels[n];

	switch (c->write_state) {
	case HIGH:
		load(pit, n, val << 8);
		break;
	case WORD_LOW:
		c->write_latch = val;
		c->write_state = WORD_HIGH;
		break;
	case WORD_HIGH:
		c->write_state = WORD_LOW;
		load(pit, n, c->write_latch | val << 8);
		break;
	default:
		load(pit, n, val);
		break;
	}
}

static u8 read_latched(struct kvm_pit_channel_state *c)
{
	switch (c->count_latched) {
	case HIGH:
		c->count_latched = 0;
		return c->latched_count >> 8;
	case WORD_LOW:
		c->count_latched = HIGH;
		return c->latched_count;
	default:
		c->count_latched = 0;
		return c->latched_count;
	}
}

static u8 read_counter(struct kvm_pit_channel_state *c)
{
	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	if (c->count_latched)
		return read_latched(c);
	switch (c->read_state) {
	case HIGH:
		return counter(c) >> 8;
	case WORD_LOW:
		c->read_state = WORD_HIGH;
		return counter(c);
	case WORD_HIGH:
		c->read_state = WORD_LOW;
		return counter(c) >> 8;
	default:
		return counter(c);
	}
}

/* A gate that rises starts the count anew in modes 1, 2, 3 and 5. */
static void write_speaker(struct umbra_pit *pit, u8 val)
{
	struct kvm_pit_channel_state *c = &pit->channels[SPEAKER];

	pit->flags &= ~KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	if (val & 2)
		pit->flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	if ((val & 1) && !c->gate && c->mode != 0 && c->mode != 4)
		c->count_load_time = ktime_to_ns(ktime_get());
	c->gate = val & 1;
}

/* Bit 4 toggles with the refresh of memory, each 15 us. */
static u8 read_speaker(struct umbra_pit *pit)
{
	struct kvm_pit_channel_state *c = &pit->channels[SPEAKER];
	u8 refresh = div_u64(ktime_to_ns(ktime_get()), 15 * NSEC_PER_USEC) & 1;

	return c->gate | (pit->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON ? 2 : 0) |
	       refresh << 4 | output(c) << 5;
}

static void pit_access(struct umbra_pit *pit, u16 port, u8 *val, bool in)
{
	if (port == 0x61) {
		if (in)
			*val = read_speaker(pit);
		else
			write_speaker(pit, *val);
	} else if (port == 0x43) {
		if (in)
			*val = 0;
		else
			write_control(pit, *val);
	} else if (in) {
		*val = read_counter(&pit->channels[port & 3]);
	} else {
		write_counter(pit, port & 3, *val);
	}
}

/**
 * umbra_pit_port() - IN or OUT of one byte
 * @irqchip: the VM's
 * @port: the port
 * @val: the byte
 * @in: direction
 *
 * Return: whether the port is the PIT's.
 */
bool umbra_pit_port(struct umbra_irqchip *irqchip, u16 port, u8 *val, bool in)
{
	struct umbra_pit *pit = READ_ONCE(irqchip->pit);
	unsigned long flags;

	if (!pit || ((port & ~3) != 0x40 && !(port == 0x61 && pit->speaker)))
		return false;
	spin_lock_irqsave(&pit->lock, flags);
	pit_access(pit, port, val, in);
	spin_unlock_irqrestore(&pit->lock, flags);
	return true;
}

/* irqchip->lock is held. */
static int create(struct umbra_irqchip *irqchip, u32 flags)
{
	struct umbra_pit *pit;
	unsigned int n;

	if (irqchip->pit)
		return -EEXIST;
	pit = kzalloc(sizeof(*pit), GFP_KERNEL_ACCOUNT);
	if (!pit)
		return -ENOMEM;
	pit->irqchip = irqchip;
	pit->speaker = flags & KVM_PIT_SPEAKER_DUMMY;
	pit->reinject = true;
	spin_lock_init(&pit->lock);
	umbra_hrtimer_setup(&pit->timer, pit_ticks, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	spin_lock_irq(&pit->lock);
	for (n = 0; n < CHANNELS; n++) {
		pit->channels[n].mode = 3;
		pit->channels[n].gate = n != SPEAKER;
		load(pit, n, 0);
	}
	spin_unlock_irq(&pit->lock);
	/* A vCPU that runs already sees it whole. */
	smp_store_release(&irqchip->pit, pit);
	return 0;
}

static long create_ioctl(struct umbra_irqchip *irqchip, u32 flags)
{
	long r;

	mutex_lock(&irqchip->lock);
	r = create(irqchip, flags);
	mutex_unlock(&irqchip->lock);
	return r;
}

/* No tick comes any more. */
void umbra_pit_stop(struct umbra_irqchip *irqchip)
{
	if (irqchip->pit)
		hrtimer_cancel(&irqchip->pit->timer);
}

void umbra_pit_destroy(struct umbra_irqchip *irqchip)
{
	kfree(irqchip->pit);
}

static void get_state(struct umbra_pit *pit, struct kvm_pit_state2 *state)
{
	memset(state, 0, sizeof(*state));
	spin_lock_irq(&pit->lock);
	memcpy(state->channels, pit->channels, sizeof(state->channels));
	state->flags = pit->flags;
	spin_unlock_irq(&pit->lock);
}

/* What a port could not have made of a channel is made what it could. */
static void put_channel(struct kvm_pit_channel_state *c)
{
	c->count = c->count && c->count <= 0x10000 ? c->count : 0x10000;
	c->mode = c->mode > 5 ? c->mode & 3 : c->mode;
	c->rw_mode &= 3;
	c->gate &= 1;
	c->bcd &= 1;
	c->count_latched &= 3;
}

static void put_state(struct umbra_pit *pit, const struct kvm_pit_state2 *state)
{
	unsigned int n;

	spin_lock_irq(&pit->lock);
	memcpy(pit->channels, state->channels, sizeof(pit->channels));
	pit->flags = state->flags & (KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	for (n = 0; n < CHANNELS; n++)
		put_channel(&pit->channels[n]);
	load(pit, 0, pit->channels[0].count);
	spin_unlock_irq(&pit->lock);
}

/* struct kvm_pit_state is the beginning of struct kvm_pit_state2. */
static long state_ioctl(struct umbra_pit *pit, unsigned int cmd, void __user *argp)
{
	struct kvm_pit_state2 state = {};
	size_t size = _IOC_SIZE(cmd);

	if (cmd == KVM_GET_PIT || cmd == KVM_GET_PIT2) {
		get_state(pit, &state);
		return copy_to_user(argp, &state, size) ? -EFAULT : 0;
	}
	if (copy_from_user(&state, argp, size))
		return -EFAULT;
	put_state(pit, &state);
	return 0;
}

static long set_reinject(struct umbra_pit *pit, const void __user *argp)
{
	struct kvm_reinject_control control;

	if (copy_from_user(&control, argp, sizeof(control)))
		return -EFAULT;
	WRITE_ONCE(pit->reinject, control.pit_reinject);
	atomic_set(&pit->pending, 0);
	atomic_set(&pit->ready, 1);
	return 0;
}

/**
 * umbra_pit_ioctl() - KVM_CREATE_PIT(2), KVM_GET/SET_PIT(2), KVM_REINJECT_CONTROL
 * @irqchip: the VM's, with PIC and IOAPIC
 * @cmd: the ioctl
 * @argp: its argument
 *
 * Return: 0; -EEXIST when there is one; -EINVAL for flags that do not exist; -ENXIO
 * when there is none; -ENOMEM; -EFAULT.
 */
long umbra_pit_ioctl(struct umbra_irqchip *irqchip, unsigned int cmd, void __user *argp)
{
	struct umbra_pit *pit = READ_ONCE(irqchip->pit);
	struct kvm_pit_config config;

	switch (cmd) {
	case KVM_CREATE_PIT:
		return create_ioctl(irqchip, KVM_PIT_SPEAKER_DUMMY);
	case KVM_CREATE_PIT2:
		if (copy_from_user(&config, argp, sizeof(config)))
			return -EFAULT;
		if (config.flags & ~KVM_PIT_SPEAKER_DUMMY)
			return -EINVAL;
		return create_ioctl(irqchip, config.flags);
	default:
		break;
	}
	if (!pit)
		return -ENXIO;
	if (cmd == KVM_REINJECT_CONTROL)
		return set_reinject(pit, argp);
	return state_ioctl(pit, cmd, argp);
}
