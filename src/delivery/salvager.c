/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery/salvager.h"

#include "delivery/policy.h"

static void *run(void *arg)
{
	struct salvager *salvager = arg;

	salvage_run(&salvager->salvage);
	mailbox_post(salvager->mailbox, &salvager->message);
	return NULL;
}

static int64_t pause_us(const struct salvager *salvager)
{
	int64_t pause = SALVAGE_PAUSE_MIN_US;

	for (int i = 1; i < salvager->tries && pause < SALVAGE_PAUSE_MAX_US; i++)
		pause *= 2;
	return pause < SALVAGE_PAUSE_MAX_US ? pause : SALVAGE_PAUSE_MAX_US;
}

static void ended(struct message *message)
{
	/* `message` is the first member. */
	struct salvager *salvager = (struct salvager *)(void *)message;
	enum salvage_result result = salvager->salvage.result;
	enum store_result end;

	pthread_join(salvager->thread, NULL);
	end = store_end_salvage(salvager->store, &salvager->salvage);
	salvage_release(&salvager->salvage);
	salvager->is_running = false;
	salvager->ended_us = loop_now_us();
	salvager->next_us = salvager->ended_us + pause_us(salvager);
	salvager->sound += result == SALVAGE_SOUND;
	if (end == STORE_OK && result == SALVAGE_DONE)
		salvager->sound = salvager->tries = 0;
	salvager->done(salvager);
}

void salvager_init(struct salvager *salvager, struct store *store, struct mailbox *mailbox,
		   void (*done)(struct salvager *salvager))
{
	*salvager = (struct salvager){
		.message.open = ended, .store = store, .mailbox = mailbox, .done = done};
}

void salvager_start(struct salvager *salvager, int64_t now_us)
{
	if (salvager->is_running || now_us < salvager->next_us)
		return;
	if (now_us - salvager->ended_us > SALVAGE_FORGET_US)
		salvager->sound = salvager->tries = 0;
	salvager->tries++;
	salvage_init(&salvager->salvage, salvager->store, salvager->sound >= SALVAGE_SOUND_MAX);
	salvager->is_running = pthread_create(&salvager->thread, NULL, run, salvager) == 0;
	if (salvager->is_running)
		return;
	salvage_release(&salvager->salvage);
	salvager->next_us = now_us + pause_us(salvager);
}

void salvager_release(struct salvager *salvager)
{
	if (!salvager->is_running)
		return;
	salvage_cancel(&salvager->salvage);
	pthread_join(salvager->thread, NULL);
	salvage_release(&salvager->salvage);
	salvager->is_running = false;
}
