//! Whole stories, told to the controller through its public interface.

mod scenarios;
