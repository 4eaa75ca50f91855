/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What switch.S needs beside the general registers. The offsets are held to the
 * structure in svm.h.
 */
#ifndef _UMBRA_SVM_SWITCH_H
#define _UMBRA_SVM_SWITCH_H

#define SWITCH_VMCB		0
#define SWITCH_HOST		8
#define SWITCH_GUEST_SPEC	16
#define SWITCH_HOST_SPEC	24
#define SWITCH_SPEC_CTRL	32

#endif
