/*
 * The outside of OpenPGP: armor, and what a detached signature's packet says before any library judges it. librnp would take
 * the first of two blocks, and honour what stands where nothing signs it.   RFC 4880 4.2, 5.2.3, 6.2. Internal to gitops/.
 */
#pragma once

#include "gitops/pgp.h"

/* The bytes inside the one armor block of that label ("PGP SIGNATURE") that text consists of; blanks around it are taken. */
GBytes *gpgsig_dearmor(const char *text, size_t size, const char *label, GError **error);

/* Exactly one version 4 signature over a document, by algorithms and with contents that we take. It points into the packets. */
gboolean gpgsig_parse(GBytes *packets, struct pgp_signature *sig, GError **error);
