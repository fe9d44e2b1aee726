"""Model archives: what they hold, how they are opened and made."""
